# Only the load balancer has a door to the world.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name                = "hb-spring"
  region              = "ap-southeast-1"
  cidr                = "10.20.0.0/16"
  zones               = ["ap-southeast-1a", "ap-southeast-1b", "ap-southeast-1c"]
  nat_per_zone        = true
  interface_endpoints = ["logs"]
  namespace           = "spring.hongbao.internal"
  kms_key_arn         = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
  log_retention_days  = 30
}

run "network" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_nat_gateway.this) == 3 && length(distinct([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.cidr_block])) == 6
    error_message = "A private and a public subnet in every zone, none of them overlapping."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.apis : rule.from_port == 443 && rule.to_port == 443]) && !contains(keys(aws_vpc_security_group_egress_rule.apis), "load-balancer")
    error_message = "Tasks reach AWS APIs by TLS, and nothing else outside."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.20.0.0/16"
    error_message = "Endpoints are reached from inside."
  }
}

run "one_nat_for_all" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    nat_per_zone = false
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["ap-southeast-1a"]
    error_message = "One NAT gateway."
  }
}

run "too_few_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["ap-southeast-1a"]
  }

  expect_failures = [var.zones]
}
