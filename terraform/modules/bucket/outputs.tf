output "topology" {
  description = "The bucket as the topology file names it, without its slots."
  value = {
    id = var.id
    redis = {
      url     = "redis://${aws_elasticache_replication_group.this.configuration_endpoint_address}:6379"
      tls     = true
      cluster = true
    }
    mysql = {
      url = "mysql://hongbao@${aws_db_instance.this.address}:3306"
      tls = true
    }
    services = {
      discover = "grab-${var.id}.${var.namespace}"
      http     = local.ports.http
      spop     = local.ports.spop
      admin    = local.ports.admin
    }
    persist = [{ id = "persist", admin = "persist-${var.id}.${var.namespace}:${local.ports.admin}" }]
    payout  = [{ id = "payout", admin = "payout-${var.id}.${var.namespace}:${local.ports.admin}" }]
  }
}

output "store_ids" {
  description = "Names of the stores, for alarms."
  value = {
    redis = aws_elasticache_replication_group.this.id
    mysql = aws_db_instance.this.identifier
  }
}

output "service_names" {
  description = "ECS services by role."
  value       = { for role, process in module.process : role => process.service_name }
}

output "security_group_ids" {
  description = "Security groups: processes, redis, mysql."
  value = {
    processes = aws_security_group.processes.id
    redis     = aws_security_group.redis.id
    mysql     = aws_security_group.mysql.id
  }
}
