"""Confluent's own serializers: `write|read FORMAT URL TOPIC`. stdin: JSON; stdout: JSON. Bytes are hex.

write: {"schema": ..., "values": [...]} -> ["00...", ...]      read: {"schema": ..., "bytes": [...]} -> [...]
schema: text for avro and json; for protobuf {"set": base64 of a FileDescriptorSet, "message": full name}.
"""
import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.serialization import MessageField, SerializationContext

verb, kind, url, topic = sys.argv[1:]
request = json.load(sys.stdin)
client = SchemaRegistryClient({"url": url})
context = SerializationContext(topic, MessageField.VALUE)


def message_class(of):
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(of["set"])).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(of["message"]))


schema = request["schema"]
if kind == "avro":
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

    encode = lambda value: AvroSerializer(client, schema)(value, context)
    decode = lambda data: AvroDeserializer(client)(data, context)
elif kind == "json":
    from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

    encode = lambda value: JSONSerializer(schema, client)(value, context)
    decode = lambda data: JSONDeserializer(schema)(data, context)
else:
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
    from google.protobuf import json_format

    message = message_class(schema)
    config = {"use.deprecated.format": False}
    encode = lambda value: ProtobufSerializer(message, client, config)(json_format.ParseDict(value, message()), context)
    decode = lambda data: json_format.MessageToDict(ProtobufDeserializer(message, config)(data, context))

if verb == "write":
    answer = [encode(value).hex() for value in request["values"]]
else:
    answer = [decode(bytes.fromhex(data)) for data in request["bytes"]]
json.dump(answer, sys.stdout)
