provider "aws" {
  region = var.base.region

  default_tags {
    tags = merge(var.tags, { Project = "hongbao", Root = "event", Event = var.event, ManagedBy = "terraform" })
  }
}
