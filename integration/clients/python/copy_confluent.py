"""librdkafka (confluent-kafka) as a copier: copy_confluent.py BOOTSTRAP FROM TO GROUP ID TOTAL SIZE ABORT_EVERY consumes as a member of the
group and writes what it gets to another topic, in transactions that commit the offsets; each ABORT_EVERY-th is aborted and copied anew."""
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition


def rewind(consumer):
    for p in consumer.committed(consumer.assignment(), timeout=30):
        consumer.seek(TopicPartition(p.topic, p.partition, max(p.offset, 0)))


def main():
    bootstrap, source, to, group, transactional = sys.argv[1:6]
    total, size, abort_every = map(int, sys.argv[6:9])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "session.timeout.ms": 10000, "fetch.wait.max.ms": 100})
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional, "transaction.timeout.ms": 30000})
    producer.init_transactions(60)
    consumer.subscribe([source])
    done, n = 0, 1
    while total == 0 or done < total:
        messages = consumer.consume(size, timeout=0.5)
        for m in messages:
            if m.error():
                raise KafkaException(m.error())
        if not messages:
            continue
        producer.begin_transaction()
        offsets = {}
        for m in messages:
            producer.produce(to, key=m.key(), value=m.value(), partition=m.partition())
            offsets[m.partition()] = m.offset() + 1
        try:
            producer.send_offsets_to_transaction([TopicPartition(source, p, o) for p, o in offsets.items()], consumer.consumer_group_metadata(), 60)
            abort = abort_every > 0 and n % abort_every == 0
            n += 1
            if abort:
                producer.flush(60)  # what was not sent is not aborted, but dropped
                producer.abort_transaction(60)
                rewind(consumer)
                continue
            producer.commit_transaction(60)
            done += len(messages)
        except KafkaException as e:
            if not e.args[0].txn_requires_abort():
                raise
            producer.abort_transaction(60)
            rewind(consumer)
    consumer.close()


main()
