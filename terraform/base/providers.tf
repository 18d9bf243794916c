provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, { Project = "hongbao", Root = "base", ManagedBy = "terraform" })
  }
}
