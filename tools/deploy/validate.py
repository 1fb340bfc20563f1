"""Checks rendered Kubernetes objects against strict schemas: unknown fields are errors.

usage: validate.py KUBERNETES_VERSION CRD_FILE… < objects (JSON list). Prints one line per error; exit code 1 when there are any.
Objects of Kubernetes itself are checked with the schemas kubernetes-validate bundles, all others with the CRDs given.
"""

import json
import sys

import jsonschema
import kubernetes_validate
import yaml

BUILT_IN = ("apps", "autoscaling", "batch", "core", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "v1")
COMBINED = ("allOf", "anyOf", "oneOf", "not")


def strict(schema):
    """Structural schemas drop unknown fields silently; here they are refused."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # Under anyOf and its like stand conditions, not whole descriptions: they stay open.
    closed = {key: value if key in COMBINED else strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed["properties"] = {name: strict(of) for name, of in schema["properties"].items()}
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if not open_ended:
            closed["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return closed


def read_crds(files):
    schemas = {}
    for file in files:
        with open(file) as stream:
            for crd in yaml.safe_load_all(stream):
                if not crd or crd.get("kind") != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = version.get("schema", {}).get("openAPIV3Schema")
                    if schema:
                        # What every object has: written out in no CRD.
                        schema.setdefault("properties", {}).update(
                            {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
                        )
                        schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = strict(schema)
    return schemas


def errors_of(document, version, crds):
    of = document["apiVersion"], document["kind"]
    if of in crds:
        found = jsonschema.Draft7Validator(crds[of]).iter_errors(document)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]
    if of[0].split("/")[0] not in BUILT_IN:
        return [f"no schema for {of[0]} {of[1]}"]
    try:
        kubernetes_validate.validate(document, version, strict=True)
        return []
    except Exception as error:  # its errors have no common class
        return [str(getattr(error, "message", error))]


def main():
    version, *files = sys.argv[1:]
    crds = read_crds(files)
    bad = 0
    for document in json.load(sys.stdin):
        for error in errors_of(document, version, crds):
            bad += 1
            print(f"{document['kind']}/{document['metadata']['name']}: {error}")
    sys.exit(1 if bad else 0)


main()
