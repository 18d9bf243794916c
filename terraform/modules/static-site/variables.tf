variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "suffix" {
  description = "Tells this apply from others of the day, for names that are global."
  type        = string
}

variable "region" {
  description = "Region of the bucket, for the cache in front of it."
  type        = string
}

variable "domain" {
  description = "Name of the page."
  type        = string
}

variable "zone_id" {
  description = "DNS zone of the domain."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate in us-east-1, where CloudFront looks for it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:us-east-1:", var.certificate_arn))
    error_message = "certificate_arn: expected a certificate in us-east-1; CloudFront takes no other."
  }
}

variable "site_folder" {
  description = "Folder with the page."
  type        = string
}

variable "api" {
  description = "Origin of the API, which the page talks to."
  type        = string
}

variable "media_folder" {
  description = "Folder with prize pictures and the video, or null."
  type        = string
  default     = null
}

variable "price_class" {
  description = "Which edges: PriceClass_All, PriceClass_200 or PriceClass_100."
  type        = string
  default     = "PriceClass_All"

  validation {
    condition     = contains(["PriceClass_All", "PriceClass_200", "PriceClass_100"], var.price_class)
    error_message = "price_class: expected PriceClass_All, PriceClass_200 or PriceClass_100."
  }
}
