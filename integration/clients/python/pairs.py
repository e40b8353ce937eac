"""kafka-python as a program: pairs.py BOOTSTRAP TOPIC [ISOLATION_LEVEL] writes each record of the topic, from the beginning to its present end, to
standard output: key and value, each as a 4-byte length and its bytes; length -1 is null."""
import struct
import sys

from kafka import KafkaConsumer, TopicPartition


def main():
    bootstrap, topic = sys.argv[1:3]
    isolation = {"isolation_level": sys.argv[3]} if len(sys.argv) > 3 else {}
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", group_id=None, **isolation)
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = {tp: end for tp, end in consumer.end_offsets(partitions).items() if end > 0}
    out = sys.stdout.buffer
    size = struct.Struct(">i")
    while ends:
        for tp, records in consumer.poll(timeout_ms=1000, max_records=5000).items():
            chunk = []
            for r in records:
                for b in (r.key, r.value):
                    chunk.append(size.pack(-1 if b is None else len(b)))
                    if b:
                        chunk.append(b)
            out.write(b"".join(chunk))
        ends = {tp: end for tp, end in ends.items() if consumer.position(tp) < end}
    out.flush()
    consumer.close()


main()
