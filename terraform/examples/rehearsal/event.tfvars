# One small bucket: the whole chain once, for about 1.1 USD an hour (docs/costs.md).
event     = "rehearsal"
image_tag = "0.1.0"

zone_count          = 2
nat_per_zone        = false
interface_endpoints = []
log_retention_days  = 7
price_class         = "PriceClass_200"

balancer = { count = 2, cpu = 1024, memory = 2048 }

buckets = {
  b0 = {
    redis = { node_type = "cache.m7g.large" }
    mysql = { instance_class = "db.m7g.large", storage_gb = 50 }
    grab  = { count = 2, cpu = 1024, memory = 2048 }
  }
}

monitoring = { cpu = 1024, memory = 4096 }
operator   = { cpu = 1024, memory = 4096 }
