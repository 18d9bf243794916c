variable "names" {
  description = "Repositories to make."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that images are encrypted with."
  type        = string
}

variable "images_kept" {
  description = "Images that stay in each repository."
  type        = number
  default     = 20
}
