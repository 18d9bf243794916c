# The topology file that every process and command reads (preprocess/src/topology.ts says what may stand in it).

locals {
  api_domain  = "api.${var.base.domain}"
  site_domain = "${var.event}.${var.base.domain}"

  bucket_count = length(local.bucket_ids)
  topology = {
    slots   = 1024
    pack    = "s3://${aws_s3_bucket.control.id}/pack"
    control = "s3://${aws_s3_bucket.control.id}/control"
    archive = "s3://${var.base.archive_bucket}/${local.archive_prefix}"

    balancer = {
      listen        = module.balancer.listen
      url           = "https://${local.api_domain}"
      admin         = "balancer.${module.network.namespace}:${module.balancer.admin_port}"
      discover      = "balancer.${module.network.namespace}"
      proxyProtocol = true
      tls           = { cert = "/var/lib/hongbao/tls.pem" }
      site          = "https://${local.site_domain}"
      publish       = "s3://${module.static_site.bucket}"
    }

    controllers = [for id in module.controller.names : { id = id, admin = "${id}.${module.network.namespace}:${module.controller.port}" }]

    # Slots in equal runs, in the order of the buckets' ids.
    buckets = [for index, id in local.bucket_ids : merge(module.bucket[id].topology, {
      slots = [[floor(index * 1024 / local.bucket_count), floor((index + 1) * 1024 / local.bucket_count) - 1]]
    })]

    secrets = { for name in ["token", "receipt", "operator", "spop", "redis", "mysql"] : name => { env = "HONGBAO_${upper(name)}" } }
  }
}

# Processes that start before it is there end, and ECS starts them again.
resource "aws_s3_object" "topology" {
  bucket = aws_s3_bucket.control.id
  key    = "topology.yaml"
  content = yamlencode(merge(local.topology, { for name, target in local.payout_targets : name => {
    url       = target.url
    secret    = { env = "HONGBAO_${upper(name)}" }
    timeoutMs = target.timeout_ms
    inFlight  = target.in_flight
  } }))
  content_type = "application/yaml"
}
