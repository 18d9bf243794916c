variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "account_id" {
  description = "The AWS account, whose alarms may publish."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that messages are encrypted with at rest."
  type        = string
}

variable "phone_numbers" {
  description = "Numbers that are called out of bed, in E.164 form."
  type        = list(string)

  validation {
    condition     = alltrue([for number in var.phone_numbers : can(regex("^\\+[1-9][0-9]{6,14}$", number))])
    error_message = "phone_numbers: expected numbers such as +8613800000000 (E.164)."
  }
}

variable "email_addresses" {
  description = "Addresses that hear of everything."
  type        = list(string)

  validation {
    condition     = length(var.email_addresses) > 0 && alltrue([for address in var.email_addresses : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "email_addresses: expected at least one address such as night@example.com."
  }
}

variable "sms_usd_a_month" {
  description = "Spend limit of the account for SMS. More than 1 needs a quota that AWS grants (docs/operations.md)."
  type        = number
  default     = 1
}
