variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "names" {
  description = "Secrets of the topology."
  type        = list(string)
  default     = ["token", "receipt", "operator", "spop", "redis", "mysql"]
}

variable "existing" {
  description = "Secrets that exist already, by name: usually `token`, which the company's log-in service signs with."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.existing) : contains(["token", "receipt", "operator", "spop"], name)])
    error_message = "existing: expected some of token, receipt, operator, spop; the stores' passwords are made here."
  }
}

variable "generation" {
  description = "Raise it to make all secrets anew."
  type        = number
  default     = 1
}

variable "kms_key_arn" {
  description = "Key that secrets are encrypted with."
  type        = string
}
