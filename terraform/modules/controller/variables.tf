variable "common" {
  description = "What all parts share."
  type = object({
    name                    = string
    suffix                  = string
    region                  = string
    vpc_id                  = string
    subnet_ids              = list(string)
    namespace_id            = string
    cluster_arn             = string
    role_security_group_ids = map(string)
    kms_key_arn             = string
    images                  = map(string)
    repository_arns         = list(string)
    cpu_architecture        = string
    environment             = map(string)
    secret_variables        = map(string)
    read_statements         = any
    log_retention_days      = number
    deletion_protection     = bool
  })
}

variable "control_statements" {
  description = "What a conductor may do besides reading: its memory, and publishing."
  type        = any
}

variable "started" {
  description = "Whether its processes run; without a pack they could not."
  type        = bool
  default     = true
}

variable "size" {
  description = "Size of each."
  type        = object({ cpu = number, memory = number })
}
