variable "region" {
  description = "AWS region of everything but CloudFront's certificate."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: expected a region such as ap-southeast-1."
  }
}

variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "hongbao"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "name: expected 2 to 16 of a-z 0-9 -, starting with a letter."
  }
}

variable "domain" {
  description = "Domain that is given to this account: pages are at EVENT.domain, the API at api.domain."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain: expected a domain such as hongbao.example.com."
  }
}

variable "phone_numbers" {
  description = "Who is paged by SMS, in E.164 form."
  type        = list(string)
  default     = []
}

variable "email_addresses" {
  description = "Who hears of everything by e-mail; each has to confirm once."
  type        = list(string)
}

variable "sms_usd_a_month" {
  description = "SMS spend limit of the account."
  type        = number
  default     = 1

  validation {
    condition     = var.sms_usd_a_month >= 1
    error_message = "sms_usd_a_month: expected at least 1."
  }
}

variable "budget_usd_a_month" {
  description = "Beyond 80 % of this an e-mail is sent."
  type        = number
  default     = 1000

  validation {
    condition     = var.budget_usd_a_month > 0
    error_message = "budget_usd_a_month: expected more than 0."
  }
}

variable "tags" {
  description = "Tags of everything, such as the cost centre."
  type        = map(string)
  default     = {}
}
