# The article's size: 150,000 people, a million prizes, 30,000 requests/s live, for about 13 USD an hour (docs/costs.md).
# `hongbao capacity` reckons these figures from an event; ten buckets, so that a broken one touches a tenth of the users.
event     = "spring"
image_tag = "0.1.0"

# 150,000 TLS handshakes in the last minute are about 75 core-seconds; a grab is about 30 us of a core.
balancer = { count = 6, cpu = 4096, memory = 8192 }

buckets = {
  b0 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b1 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b2 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b3 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b4 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b5 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b6 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b7 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b8 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
  b9 = {
    redis = { node_type = "cache.r7g.large" }
    mysql = { instance_class = "db.r7g.large", storage_gb = 100 }
    grab  = { count = 2, cpu = 2048, memory = 4096 }
  }
}
