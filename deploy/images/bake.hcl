variable "REPOSITORY" {}
variable "VERSION" {}

group "default" {
  targets = ["weir"]
}

target "weir" {
  context    = "."
  dockerfile = "deploy/images/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  tags       = ["${REPOSITORY}:${VERSION}"]
  attest     = ["type=provenance,mode=max", "type=sbom"]
}
