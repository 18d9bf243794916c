variable "base" {
  description = "What `base` puts out (terraform output -json event_variables)."
  type = object({
    region                 = string
    name                   = string
    domain                 = string
    zone_id                = string
    site_certificate_arn   = string
    certificate_secret_arn = string
    kms_key_arn            = string
    archive_bucket         = string
    topic_arns             = map(string)
    repository_urls        = map(string)
  })
}

variable "event" {
  description = "The event, for names. It need not be the event's id."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,14}[a-z0-9]$", var.event))
    error_message = "event: expected 2 to 16 of a-z 0-9 -, starting with a letter, not ending in a dash."
  }
}

variable "image_tag" {
  description = "Tag that infra/images/publish pushed. A tag is written once."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag: expected a tag such as 1.4.0 or a commit; `latest` says nothing."
  }
}

variable "buckets" {
  description = "The buckets by id, each with its stores and processes. `hongbao capacity` reckons them."
  type = map(object({
    redis   = object({ node_type = string, engine_version = optional(string, "9.0"), family = optional(string, "valkey9") })
    mysql   = object({ instance_class = string, storage_gb = number, multi_az = optional(bool, true) })
    grab    = object({ count = number, cpu = number, memory = number })
    persist = optional(object({ count = number, cpu = number, memory = number }), { count = 1, cpu = 1024, memory = 2048 })
    payout  = optional(object({ count = number, cpu = number, memory = number }), { count = 1, cpu = 512, memory = 1024 })
  }))

  validation {
    condition     = length(var.buckets) >= 1 && length(var.buckets) <= 64
    error_message = "buckets: expected 1 to 64 buckets."
  }

  validation {
    condition     = alltrue([for id in keys(var.buckets) : can(regex("^b[0-9]{1,2}$", id))])
    error_message = "buckets: expected ids b0 to b99."
  }
}

variable "balancer" {
  description = "HAProxy tasks. A TLS handshake costs a core 0.5 ms, a grab about 30 us."
  type        = object({ count = number, cpu = number, memory = number })
}

variable "controller" {
  description = "Size of each of the two controllers."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 1024, memory = 2048 }
}

variable "operator" {
  description = "Size of one-off tasks."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 2048, memory = 8192 }
}

variable "monitoring" {
  description = "Size of the monitoring task."
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 2048, memory = 8192 }
}

variable "cidr" {
  description = "Address range of the network."
  type        = string
  default     = "10.20.0.0/16"
}

variable "zone_count" {
  description = "Availability zones."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "zone_count: expected 2 or 3."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in every zone, or one for all."
  type        = bool
  default     = true
}

variable "interface_endpoints" {
  description = "AWS APIs that are reached inside the network, so that starts and discovery need no NAT gateway."
  type        = list(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "data-servicediscovery", "kms"]
}

variable "cpu_architecture" {
  description = "What the images were built for: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "started" {
  description = "False at the first apply: stores and operators' tasks, until the pack is loaded. Processes without one end, and ECS would give them up."
  type        = bool
  default     = true
}

variable "existing_secrets" {
  description = "Secrets that exist already, by name; usually `token`, which the company's log-in service signs users' tokens with."
  type        = map(string)
  default     = {}
}

variable "secrets_generation" {
  description = "Raise it to make all secrets and store passwords anew."
  type        = number
  default     = 1
}

variable "payout_targets" {
  description = "The company's wallet and order system; without them the built-in ledger and order book take their place. secret_arn: what requests are signed with, handed to payout tasks alone; encrypted with base's key or the account's own for secrets."
  type = object({
    wallet = optional(object({ url = string, secret_arn = string, timeout_ms = optional(number, 3000), in_flight = optional(number, 32) }))
    orders = optional(object({ url = string, secret_arn = string, timeout_ms = optional(number, 3000), in_flight = optional(number, 32) }))
  })
  default = {}

  validation {
    condition     = alltrue([for target in values(var.payout_targets) : can(regex("^https://[^@?#]+$", target.url)) if target != null])
    error_message = "payout_targets: url: expected https://…, without a password; payouts leave the network by TLS only."
  }

  validation {
    condition     = alltrue([for target in values(var.payout_targets) : can(regex("^arn:aws[a-z-]*:secretsmanager:", target.secret_arn)) if target != null])
    error_message = "payout_targets: secret_arn: expected the ARN of a secret."
  }
}

variable "site_folder" {
  description = "Folder that `hongbao balancer site --out` wrote; null for terraform/event/site."
  type        = string
  default     = null
}

variable "media_folder" {
  description = "Folder with prize pictures and the video, served under /media; null for none."
  type        = string
  default     = null
}

variable "price_class" {
  description = "Which CloudFront edges serve the page."
  type        = string
  default     = "PriceClass_All"
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days: expected one of CloudWatch's steps: 1, 3, 5, 7, 14, 30, 60, 90, …"
  }
}

variable "deletion_protection" {
  description = "Protects MySQL and the load balancer. Set it to false by an apply of its own before `destroy`."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything, such as the cost centre."
  type        = map(string)
  default     = {}
}
