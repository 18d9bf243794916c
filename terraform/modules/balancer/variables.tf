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

variable "public_subnet_ids" {
  description = "Subnets of the load balancer."
  type        = list(string)
}

variable "zone_id" {
  description = "DNS zone of the domain."
  type        = string
}

variable "domain" {
  description = "Name that apps call."
  type        = string
}

variable "certificate_secret_arn" {
  description = "Secret with the PEM that HAProxy ends TLS with: certificate, chain and key in one."
  type        = string
}

variable "started" {
  description = "Whether its processes run; without a pack they could not."
  type        = bool
  default     = true
}

variable "size" {
  description = "HAProxy tasks: how many, each how large."
  type        = object({ count = number, cpu = number, memory = number })

  validation {
    condition     = var.size.count >= 2
    error_message = "size.count: expected at least 2, so that one may go."
  }
}
