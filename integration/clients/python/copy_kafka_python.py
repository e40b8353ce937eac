"""kafka-python as a copier: copy_kafka_python.py BOOTSTRAP FROM TO GROUP ID TOTAL SIZE ABORT_EVERY consumes as a member of the group and writes
what it gets to another topic, in transactions that commit the offsets; each ABORT_EVERY-th is aborted and copied anew."""
import sys

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata


def rewind(consumer):
    for p in consumer.assignment():
        committed = consumer.committed(p)
        if committed is None:
            consumer.seek_to_beginning(p)
        else:
            consumer.seek(p, committed)


def main():
    bootstrap, source, to, group, transactional = sys.argv[1:6]
    total, size, abort_every = map(int, sys.argv[6:9])
    consumer = KafkaConsumer(source, bootstrap_servers=bootstrap, group_id=group, isolation_level="read_committed", enable_auto_commit=False,
                             auto_offset_reset="earliest", session_timeout_ms=10000)
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional, transaction_timeout_ms=30000)
    producer.init_transactions()
    done, n = 0, 1
    while total == 0 or done < total:
        polled = consumer.poll(timeout_ms=500, max_records=size)
        if not polled:
            continue
        producer.begin_transaction()
        offsets, count = {}, 0
        for p, records in polled.items():
            for r in records:
                producer.send(to, key=r.key, value=r.value, partition=r.partition)
                count += 1
            offsets[p] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        abort = abort_every > 0 and n % abort_every == 0
        n += 1
        if abort:
            producer.flush()  # what was not sent is not aborted, but dropped
            producer.abort_transaction()
            rewind(consumer)
            continue
        producer.commit_transaction()
        done += count
    producer.close()
    consumer.close()


main()
