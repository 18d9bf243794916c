variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "region" {
  description = "AWS region, for the names of endpoints."
  type        = string
}

variable "cidr" {
  description = "Address range of the network, a /16 to /20."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|20)$", var.cidr))
    error_message = "cidr: expected a range such as 10.20.0.0/16, from /16 to /20."
  }
}

variable "zones" {
  description = "Availability zones, at least two: RDS and ElastiCache keep a standby in another one."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 6 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones: expected 2 to 6 different availability zones."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in every zone (event) or one for all (rehearsal)."
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS APIs that are reached inside the network instead of through the NAT gateway."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key of the log."
  type        = string
}

variable "log_retention_days" {
  description = "How long the log of refused connections is kept."
  type        = number
}

variable "namespace" {
  description = "Private DNS and service-discovery namespace."
  type        = string
}
