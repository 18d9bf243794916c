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

variable "namespace" {
  description = "Name of the service-discovery namespace, where Prometheus finds its targets."
  type        = string
}

variable "topic_arns" {
  description = "Topics: page, ticket."
  type        = map(string)
}

variable "cluster_name" {
  description = "ECS cluster, for alarms."
  type        = string
}

variable "services" {
  description = "ECS services and the tasks that each should have."
  type        = map(object({ name = string, count = number }))
}

variable "redis_ids" {
  description = "ElastiCache replication groups by bucket."
  type        = map(string)
}

variable "mysql_ids" {
  description = "RDS instances by bucket."
  type        = map(string)
}

variable "balancer_dimensions" {
  description = "CloudWatch dimensions of the load balancer."
  type        = map(string)
}

variable "started" {
  description = "Whether its processes run; without a pack they could not."
  type        = bool
  default     = true
}

variable "size" {
  description = "Size of the task."
  type        = object({ cpu = number, memory = number })
}
