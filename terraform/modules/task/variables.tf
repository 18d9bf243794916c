variable "name" {
  description = "Name of the task definition and the service."
  type        = string
}

variable "region" {
  description = "AWS region, for the log driver."
  type        = string
}

variable "cluster_arn" {
  description = "ECS cluster."
  type        = string
}

variable "containers" {
  description = "Containers of the task; the first one is what the load balancer talks to. `work` is its writable directory."
  type = list(object({
    name        = string
    image       = string
    command     = list(string)
    ports       = list(number)
    work        = optional(string, "/var/lib/hongbao")
    environment = optional(map(string), {})
    health      = optional(string)
  }))

  validation {
    condition     = length(var.containers) > 0
    error_message = "containers: expected at least one."
  }
}

variable "cpu" {
  description = "CPU units: 1024 are one vCPU."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu: expected 256, 512, 1024, 2048, 4096, 8192 or 16384 (Fargate's sizes)."
  }
}

variable "memory" {
  description = "Memory in MiB."
  type        = number
}

variable "cpu_architecture" {
  description = "What the images were built for."
  type        = string

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture: expected X86_64 or ARM64."
  }
}

variable "environment" {
  description = "Environment of every container; nothing secret."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Environment variables that ECS fills from Secrets Manager: variable → secret."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "What the task itself may do, as IAM statements."
  type        = any
  default     = []
}

variable "repository_arns" {
  description = "Image repositories that the task is started from."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key of secrets and logs."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the task."
  type        = list(string)
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
}

variable "stop_timeout_seconds" {
  description = "From SIGTERM to SIGKILL; longer than the process takes to drain."
  type        = number
  default     = 60
}

variable "service" {
  description = "Null for tasks that are run by hand. Otherwise how many run and under which name they are found."
  type = object({
    count                   = number
    discovery_name          = string
    namespace_id            = string
    minimum_healthy_percent = optional(number, 100)
    maximum_percent         = optional(number, 150)
    target_group_arn        = optional(string)
    target_port             = optional(number)
  })
  default = null
}
