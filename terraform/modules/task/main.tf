# One role of the cluster as an ECS task on Fargate, and, unless it is run by hand, as a service.
# Cost: Fargate in docs/costs.md.

locals {
  account_id = split(":", var.kms_key_arn)[4]
}

resource "aws_cloudwatch_log_group" "this" {
  name_prefix       = "/hongbao/${var.name}-"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${substr(var.name, 0, 30)}-x-"
  assume_role_policy = local.assume_role_policy
}

resource "aws_iam_role" "task" {
  name_prefix        = "${substr(var.name, 0, 30)}-t-"
  assume_role_policy = local.assume_role_policy
}

locals {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # ECS asks on behalf of this account's tasks only.
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

# What ECS does for the task before it runs: pull its image, hand it its secrets, write its log.
resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
        {
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
          Resource = var.repository_arns
        },
        {
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.this.arn}:*"
        },
      ],
      [for statement in [
        { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = values(var.secrets) },
        # The key opens secrets by way of Secrets Manager, and nothing else.
        {
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
        },
      ] : statement if length(var.secrets) > 0],
    )
  })
}

resource "aws_iam_role_policy" "task" {
  count = length(var.statements) == 0 ? 0 : 1
  name  = "work"
  role  = aws_iam_role.task.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = var.statements
  })
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # Fargate has no tmpfs: what a process writes lives on an ephemeral volume that only its container sees.
  dynamic "volume" {
    for_each = var.containers

    content {
      name = volume.value.name
    }
  }

  container_definitions = jsonencode([for container in var.containers : {
    name                   = container.name
    image                  = container.image
    essential              = true
    command                = container.command
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_timeout_seconds
    environment            = [for name, value in merge(var.environment, container.environment) : { name = name, value = value }]
    secrets                = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    portMappings           = [for port in container.ports : { containerPort = port, protocol = "tcp" }]
    ulimits                = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    mountPoints            = [{ sourceVolume = container.name, containerPath = container.work, readOnly = false }]
    linuxParameters        = { initProcessEnabled = true }
    healthCheck = container.health == null ? null : {
      command     = ["CMD-SHELL", container.health]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = container.name
        # A slow log must not stop a process.
        "mode"            = "non-blocking"
        "max-buffer-size" = "8m"
      }
    }
  }])
}

resource "aws_service_discovery_service" "this" {
  count        = var.service == null ? 0 : 1
  name         = var.service.discovery_name
  namespace_id = var.service.namespace_id
  # What a crashed task left behind must not keep the namespace from being removed.
  force_destroy = true

  dns_config {
    namespace_id   = var.service.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 5
    }
  }
}

resource "aws_ecs_service" "this" {
  count                  = var.service == null ? 0 : 1
  name                   = var.name
  cluster                = var.cluster_arn
  task_definition        = aws_ecs_task_definition.this.arn
  desired_count          = var.service.count
  launch_type            = "FARGATE"
  propagate_tags         = "SERVICE"
  enable_execute_command = false
  # An apply is over when the new tasks run and the old ones are gone: the next part may follow.
  wait_for_steady_state = true
  # One task goes when its successor is ready; a role that must not run twice says otherwise.
  deployment_minimum_healthy_percent = var.service.minimum_healthy_percent
  deployment_maximum_percent         = var.service.maximum_percent
  health_check_grace_period_seconds  = var.service.target_group_arn == null ? null : 60

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.this[0].arn
  }

  dynamic "load_balancer" {
    for_each = var.service.target_group_arn == null ? [] : [var.service.target_group_arn]

    content {
      target_group_arn = load_balancer.value
      container_name   = var.containers[0].name
      container_port   = var.service.target_port
    }
  }
}
