# A task: read-only, nothing secret in its definition, a role that may do what it was given and no more.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "hb-spring-b0-grab"
  region             = "ap-southeast-1"
  cluster_arn        = "arn:aws:ecs:ap-southeast-1:123456789012:cluster/hb-spring"
  cpu                = 1024
  memory             = 2048
  cpu_architecture   = "X86_64"
  secrets            = { HONGBAO_REDIS = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:redis" }
  statements         = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::control/pack/*" }]
  repository_arns    = ["arn:aws:ecr:ap-southeast-1:123456789012:repository/hongbao/node"]
  kms_key_arn        = "arn:aws:kms:ap-southeast-1:123456789012:key/0000"
  subnet_ids         = ["subnet-0"]
  security_group_ids = ["sg-0"]
  log_retention_days = 30
  containers         = [{ name = "grab", image = "node:1", command = ["bucket", "--bucket", "b0"], ports = [8080] }]
  service            = { count = 12, discovery_name = "grab-b0", namespace_id = "ns-0" }
}

run "service" {
  module {
    source = "./modules/task"
  }

  assert {
    condition     = alltrue([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.readonlyRootFilesystem])
    error_message = "The root file system is read-only."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].secrets == [{ name = "HONGBAO_REDIS", valueFrom = "arn:aws:secretsmanager:ap-southeast-1:123456789012:secret:redis" }]
    error_message = "Secrets are handed over by ECS, by reference."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.task[0].policy).Statement == [{ Action = "s3:GetObject", Effect = "Allow", Resource = "arn:aws:s3:::control/pack/*" }]
    error_message = "The task may do what it was given."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement : statement.Resource != "*" || statement.Action == "ecr:GetAuthorizationToken"])
    error_message = "Only the registry's log-in, which knows no resource, is allowed on everything."
  }

  assert {
    condition     = one(aws_ecs_service.this[0].network_configuration).assign_public_ip == false
    error_message = "Tasks have no public address."
  }

  assert {
    condition     = one(aws_ecs_service.this[*].wait_for_steady_state)
    error_message = "A deploy is over when the new tasks run, so that the next part may follow."
  }

  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].mountPoints) == 1 && one(aws_ecs_task_definition.this.volume).name == "grab"
    error_message = "Each container writes to a volume of its own."
  }

  assert {
    condition     = one(aws_ecs_service.this[*].desired_count) == 12
    error_message = "Sized, not chased."
  }
}

run "by_hand" {
  command = plan

  module {
    source = "./modules/task"
  }

  variables {
    service = null
  }

  assert {
    condition     = length(aws_ecs_service.this) == 0 && length(aws_service_discovery_service.this) == 0
    error_message = "A task that is run by hand has no service."
  }
}

run "wrong_cpu" {
  command = plan

  module {
    source = "./modules/task"
  }

  variables {
    cpu = 1000
  }

  expect_failures = [var.cpu]
}
