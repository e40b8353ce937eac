import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Transactions of Apache's Java client as a program.
 *
 * <pre>
 * Transactions copy BOOTSTRAP FROM TO GROUP ID TOTAL SIZE ABORT_EVERY   consume, transform, produce; ends after TOTAL records, 0: never
 * Transactions fence BOOTSTRAP TOPIC ID                                 two producers of one id; exit 1 if the first is not fenced
 * Transactions member BOOTSTRAP TOPIC GROUP N                           prints the values of N records as a member of a group, and commits
 * </pre>
 */
public final class Transactions {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "copy":
                copy(args);
                break;
            case "fence":
                fence(args[1], args[2], args[3]);
                break;
            case "member":
                member(args[1], args[2], args[3], Integer.parseInt(args[4]));
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, String id) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", id);
        p.put("transaction.timeout.ms", "30000");
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String group, int size) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("isolation.level", "read_committed");
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("max.poll.records", String.valueOf(size));
        p.put("session.timeout.ms", "10000");
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void copy(String[] args) {
        String from = args[2], to = args[3];
        int total = Integer.parseInt(args[6]), size = Integer.parseInt(args[7]), abortEvery = Integer.parseInt(args[8]);
        try (KafkaProducer<byte[], byte[]> producer = producer(args[1], args[5]);
             KafkaConsumer<byte[], byte[]> consumer = consumer(args[1], args[4], size)) {
            producer.initTransactions();
            consumer.subscribe(Collections.singleton(from));
            int done = 0;
            for (int n = 1; total == 0 || done < total;) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                try {
                    Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                    for (ConsumerRecord<byte[], byte[]> r : records) {
                        producer.send(new ProducerRecord<>(to, r.partition(), r.key(), r.value()));
                        next.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                    }
                    producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                    if (abortEvery > 0 && n++ % abortEvery == 0) {
                        producer.flush(); // what was not sent is not aborted, but dropped
                        producer.abortTransaction();
                        rewind(consumer);
                        continue;
                    }
                    producer.commitTransaction();
                    done += records.count();
                } catch (ProducerFencedException e) {
                    throw e;
                } catch (KafkaException e) {
                    // The group has rebalanced meanwhile, or a broker has not answered.
                    producer.abortTransaction();
                    rewind(consumer);
                }
            }
        }
    }

    private static void rewind(KafkaConsumer<byte[], byte[]> consumer) {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
        for (TopicPartition p : consumer.assignment()) {
            OffsetAndMetadata o = committed.get(p);
            if (o == null) {
                consumer.seekToBeginning(Collections.singleton(p));
            } else {
                consumer.seek(p, o.offset());
            }
        }
    }

    private static void fence(String bootstrap, String topic, String id) throws Exception {
        try (KafkaProducer<byte[], byte[]> first = producer(bootstrap, id); KafkaProducer<byte[], byte[]> second = producer(bootstrap, id)) {
            first.initTransactions();
            first.beginTransaction();
            first.send(new ProducerRecord<>(topic, "first".getBytes())).get();
            second.initTransactions();
            second.beginTransaction();
            try {
                first.commitTransaction();
                System.err.println("the first producer was not fenced");
                System.exit(1);
            } catch (ProducerFencedException | InvalidProducerEpochException e) {
                System.out.println("fenced: " + e);
            } catch (KafkaException e) {
                if (!(e.getCause() instanceof ProducerFencedException)) {
                    throw e;
                }
            }
            second.send(new ProducerRecord<>(topic, "second".getBytes())).get();
            second.commitTransaction();
        }
    }

    private static void member(String bootstrap, String topic, String group, int n) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, group, 10)) {
            consumer.subscribe(Collections.singleton(topic));
            while (n > 0) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> r : records) {
                    if (n == 0) {
                        break;
                    }
                    System.out.println(new String(r.value()));
                    next.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                    n--;
                }
                consumer.commitSync(next);
            }
        }
    }
}
