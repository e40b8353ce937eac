"""kafka-python as a member of a group: member.py BOOTSTRAP TOPIC GROUP N prints the values of N records, commits after them and leaves."""
import sys

from kafka import KafkaConsumer


def main():
    bootstrap, topic, group, n = sys.argv[1:5]
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest")
    left = int(n)
    while left > 0:
        for records in consumer.poll(timeout_ms=1000, max_records=left).values():
            for r in records:
                print(r.value.decode())
                left -= 1
        consumer.commit()
    consumer.close()


main()
