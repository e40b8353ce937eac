import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.Map;
import java.util.Properties;
import kafka.api.FetchRequestBuilder;
import kafka.api.PartitionOffsetRequestInfo;
import kafka.common.TopicAndPartition;
import kafka.consumer.Consumer;
import kafka.consumer.ConsumerConfig;
import kafka.consumer.KafkaStream;
import kafka.javaapi.FetchResponse;
import kafka.javaapi.OffsetRequest;
import kafka.javaapi.OffsetResponse;
import kafka.javaapi.PartitionMetadata;
import kafka.javaapi.TopicMetadata;
import kafka.javaapi.TopicMetadataRequest;
import kafka.javaapi.consumer.ConsumerConnector;
import kafka.javaapi.consumer.SimpleConsumer;
import kafka.message.MessageAndMetadata;
import kafka.message.MessageAndOffset;

/**
 * The consumers of Kafka 0.8 as a program; records are written as pairs to standard output.
 *
 * <pre>
 * Old08 simple HOST PORT TOPIC                      each partition from its first offset to its last, by the low-level consumer
 * Old08 high-level ZOOKEEPER TOPIC COUNT GROUP      COUNT records, by the consumer that finds brokers, and keeps offsets, in ZooKeeper
 * </pre>
 */
public final class Old08 {
    private static final DataOutputStream OUT = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));

    public static void main(String[] args) throws Exception {
        if (args[0].equals("simple")) {
            simple(args[1], Integer.parseInt(args[2]), args[3]);
        } else {
            highLevel(args[1], args[2], Long.parseLong(args[3]), args[4]);
        }
        OUT.flush();
    }

    private static void simple(String host, int port, String topic) throws Exception {
        SimpleConsumer consumer = new SimpleConsumer(host, port, 60_000, 1 << 16, "old");
        for (TopicMetadata t : consumer.send(new TopicMetadataRequest(Collections.singletonList(topic))).topicsMetadata()) {
            for (PartitionMetadata p : t.partitionsMetadata()) {
                read(consumer, topic, p.partitionId());
            }
        }
        consumer.close();
    }

    private static void read(SimpleConsumer consumer, String topic, int partition) throws Exception {
        long offset = offset(consumer, topic, partition, kafka.api.OffsetRequest.EarliestTime());
        long end = offset(consumer, topic, partition, kafka.api.OffsetRequest.LatestTime());
        int size = 1 << 16;
        while (offset < end) {
            FetchResponse r = consumer.fetch(new FetchRequestBuilder().clientId("old").addFetch(topic, partition, offset, size).maxWait(1000).minBytes(1).build());
            if (r.hasError()) {
                throw new IllegalStateException("fetching " + topic + "-" + partition + " at " + offset + ": error " + r.errorCode(topic, partition));
            }
            long before = offset;
            for (MessageAndOffset m : r.messageSet(topic, partition)) {
                if (m.offset() < offset) {
                    continue; // a compressed message begins before
                }
                m.message().ensureValid();
                write(bytes(m.message().key()));
                write(bytes(m.message().payload()));
                offset = m.nextOffset();
            }
            if (offset == before) {
                size *= 2; // a message is larger than that
            }
        }
    }

    private static long offset(SimpleConsumer consumer, String topic, int partition, long time) {
        TopicAndPartition tp = new TopicAndPartition(topic, partition);
        OffsetResponse r = consumer.getOffsetsBefore(new OffsetRequest(Collections.singletonMap(tp, new PartitionOffsetRequestInfo(time, 1)),
            kafka.api.OffsetRequest.CurrentVersion(), "old"));
        if (r.hasError()) {
            throw new IllegalStateException("offset of " + tp + ": error " + r.errorCode(topic, partition));
        }
        return r.offsets(topic, partition)[0];
    }

    private static void highLevel(String zookeeper, String topic, long count, String group) throws Exception {
        Properties p = new Properties();
        p.put("zookeeper.connect", zookeeper);
        p.put("group.id", group);
        p.put("auto.offset.reset", "smallest");
        p.put("auto.commit.enable", "false");
        p.put("consumer.timeout.ms", "60000"); // an exception then
        ConsumerConnector connector = Consumer.createJavaConsumerConnector(new ConsumerConfig(p));
        Map<String, Integer> streams = Collections.singletonMap(topic, 1);
        KafkaStream<byte[], byte[]> stream = connector.createMessageStreams(streams).get(topic).get(0);
        for (MessageAndMetadata<byte[], byte[]> m : stream) {
            write(m.key());
            write(m.message());
            if (--count == 0) {
                break;
            }
        }
        connector.commitOffsets();
        connector.shutdown();
    }

    private static byte[] bytes(ByteBuffer b) {
        if (b == null) {
            return null;
        }
        byte[] out = new byte[b.remaining()];
        b.get(out);
        return out;
    }

    private static void write(byte[] b) throws Exception {
        OUT.writeInt(b == null ? -1 : b.length);
        if (b != null) {
            OUT.write(b);
        }
    }
}
