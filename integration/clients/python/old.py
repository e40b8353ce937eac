"""kafka-python that takes the broker for an old one, and so sends the requests of that time.

old.py VERSION produce BOOTSTRAP TOPIC CODEC    sends pairs from standard input
old.py VERSION consume BOOTSTRAP TOPIC COUNT    writes COUNT records, from the topic's beginning, to standard output as pairs

A pair is a key and a value, each as a 4-byte length and its bytes; length -1 is null."""
import struct
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

SIZE = struct.Struct(">i")


def read(stream):
    head = stream.read(4)
    if len(head) < 4:
        return None, False
    (n,) = SIZE.unpack(head)
    return (None if n < 0 else stream.read(n)), True


def produce(version, bootstrap, topic, codec):
    producer = KafkaProducer(bootstrap_servers=bootstrap, api_version=version, compression_type=None if codec == "none" else codec, acks="all",
                             enable_idempotence=False, linger_ms=5)
    sent = []
    while True:
        key, more = read(sys.stdin.buffer)
        if not more:
            break
        value, _ = read(sys.stdin.buffer)
        sent.append(producer.send(topic, key=key, value=value))
    producer.flush()
    for future in sent:
        future.get(timeout=60)
    producer.close()


def consume(version, bootstrap, topic, count):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, api_version=version, enable_auto_commit=False, auto_offset_reset="earliest", group_id=None,
                             consumer_timeout_ms=60000)
    consumer.assign([TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))])
    out = sys.stdout.buffer
    left = int(count)
    if left > 0:
        for r in consumer:
            for b in (r.key, r.value):
                out.write(SIZE.pack(-1 if b is None else len(b)))
                out.write(b or b"")
            left -= 1
            if left == 0:
                break
    out.flush()
    consumer.close()
    if left > 0:
        sys.exit("nothing for a minute, %d records are missing" % left)


version = tuple(int(n) for n in sys.argv[1].split("."))
{"produce": produce, "consume": consume}[sys.argv[2]](version, *sys.argv[3:])
