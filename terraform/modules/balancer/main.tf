# The way in: a network load balancer hands connections, with the client's address in a proxy-protocol header, to HAProxy, which
# ends TLS (only it maps users to buckets and answers by itself).
# Cost: the network load balancer in docs/costs.md; HAProxy as the task module says.

locals {
  ports = {
    public = 8443
    admin  = 9101
  }
}

resource "aws_lb" "this" {
  name                             = var.common.name
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.public_subnet_ids
  security_groups                  = [local.groups["load-balancer"]]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.common.deletion_protection
}

resource "aws_lb_target_group" "this" {
  name               = var.common.name
  vpc_id             = var.common.vpc_id
  target_type        = "ip"
  protocol           = "TCP"
  port               = local.ports.public
  proxy_protocol_v2  = true
  preserve_client_ip = false
  # Nobody new comes; those who are connected go on, and are let go one by one afterwards.
  deregistration_delay = 60

  # The admin port says whether HAProxy runs; the public port would need a proxy header from the checker.
  health_check {
    protocol            = "HTTP"
    port                = local.ports.admin
    path                = "/readyz"
    interval            = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_route53_record" "api" {
  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false
  }
}

locals {
  groups = var.common.role_security_group_ids
  flows = {
    public-tls       = { from = local.groups["load-balancer"], to = local.groups["balancer"], port = local.ports.public }
    health           = { from = local.groups["load-balancer"], to = local.groups["balancer"], port = local.ports.admin }
    operator-admin   = { from = local.groups["operator"], to = local.groups["balancer"], port = local.ports.admin }
    monitoring-admin = { from = local.groups["monitoring"], to = local.groups["balancer"], port = local.ports.admin }
  }
}

# The only door that is open to the world.
resource "aws_vpc_security_group_ingress_rule" "world" {
  security_group_id = local.groups["load-balancer"]
  description       = "apps and pages"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = local.flows
  security_group_id            = each.value.to
  referenced_security_group_id = each.value.from
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each                     = local.flows
  security_group_id            = each.value.from
  referenced_security_group_id = each.value.to
  description                  = "balancer ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

module "process" {
  source = "../task"

  name               = "${var.common.name}-balancer"
  region             = var.common.region
  cluster_arn        = var.common.cluster_arn
  cpu                = var.size.cpu
  memory             = var.size.memory
  cpu_architecture   = var.common.cpu_architecture
  environment        = var.common.environment
  secrets            = merge({ for name in ["HONGBAO_TOKEN", "HONGBAO_SPOP", "HONGBAO_OPERATOR"] : name => var.common.secret_variables[name] }, { HONGBAO_TLS_PEM = var.certificate_secret_arn })
  repository_arns    = var.common.repository_arns
  kms_key_arn        = var.common.kms_key_arn
  subnet_ids         = var.common.subnet_ids
  security_group_ids = [local.groups["balancer"]]
  log_retention_days = var.common.log_retention_days
  statements         = var.common.read_statements
  # ECS first takes the task out of the load balancer and waits (deregistration_delay), then sends SIGTERM. From then on each kept
  # connection is closed with its next answer, and an idle one ends after 75 s; 120 s is the most that Fargate waits.
  stop_timeout_seconds = 120

  containers = [{
    name    = "haproxy"
    image   = var.common.images["haproxy"]
    command = ["balancer", "run", "--dir", "/var/lib/hongbao/balancer", "--threads", tostring(max(1, floor(var.size.cpu / 1024))), "--drain", "100"]
    ports   = [local.ports.public, local.ports.admin]
    health  = "hongbao-healthy ${local.ports.admin} /livez"
  }]

  service = {
    count            = var.started ? var.size.count : 0
    discovery_name   = "balancer"
    namespace_id     = var.common.namespace_id
    target_group_arn = aws_lb_target_group.this.arn
    target_port      = local.ports.public
  }

  depends_on = [aws_lb_listener.this, aws_vpc_security_group_ingress_rule.this]
}
