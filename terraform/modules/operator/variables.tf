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

variable "operator_statements" {
  description = "What an operator's command may do besides reading: write the pack, and the archive."
  type        = any
}

variable "size" {
  description = "Size of the task; a million prizes are generated in less than 300 MB."
  type        = object({ cpu = number, memory = number })
}
