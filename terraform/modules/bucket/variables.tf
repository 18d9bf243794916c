variable "id" {
  description = "The bucket's id in the topology."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,12}$", var.id))
    error_message = "id: expected 1 to 12 of a-z 0-9 -."
  }
}

variable "common" {
  description = "What all buckets share."
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

variable "passwords" {
  description = "Passwords of the stores: redis, mysql."
  type        = map(string)
  sensitive   = true
}

variable "passwords_generation" {
  description = "Raise it to set the passwords anew."
  type        = number
  default     = 1
}

variable "redis" {
  description = "ElastiCache for Valkey."
  type = object({
    node_type      = string
    engine_version = optional(string, "9.0")
    family         = optional(string, "valkey9")
  })

  validation {
    condition     = can(regex("^cache\\.(r6g|r7g|m6g|m7g|c7gn)\\.", var.redis.node_type))
    error_message = "redis.node_type: synchronous durability needs a cache.r6g, r7g, m6g, m7g or c7gn node."
  }
}

variable "mysql" {
  description = "RDS for MySQL 8.4."
  type = object({
    instance_class = string
    storage_gb     = number
    multi_az       = optional(bool, true)
  })

  validation {
    condition     = var.mysql.storage_gb >= 20 && var.mysql.storage_gb <= 16384
    error_message = "mysql.storage_gb: expected 20 to 16384."
  }
}

variable "grab" {
  description = "Service processes: how many, each how large (cpu 1024 is one vCPU, memory in MiB)."
  type        = object({ count = number, cpu = number, memory = number })

  validation {
    condition     = var.grab.count >= 1 && var.grab.count <= 100
    error_message = "grab.count: expected 1 to 100 service processes."
  }
}

variable "persist" {
  description = "The persist process."
  type        = object({ count = number, cpu = number, memory = number })

  validation {
    condition     = var.persist.count == 1
    error_message = "persist.count: expected 1; ECS starts another one when it dies."
  }
}

variable "payout" {
  description = "The payout process."
  type        = object({ count = number, cpu = number, memory = number })

  validation {
    condition     = var.payout.count == 1
    error_message = "payout.count: expected 1; ECS starts another one when it dies."
  }
}

variable "payout_secrets" {
  description = "What requests to the wallet and the order system are signed with: variable → secret."
  type        = map(string)
  default     = {}
}

variable "started" {
  description = "Whether its processes run; without a pack they could not."
  type        = bool
  default     = true
}

variable "namespace" {
  description = "Name of the service-discovery namespace."
  type        = string
}
