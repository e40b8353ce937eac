import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Apache's Java consumer from 0.9 on as a program: OldConsume BOOTSTRAP TOPIC COUNT [property=value ...] reads COUNT records from the
 * topic's beginning and writes them as pairs to standard output. With group.id it joins the group and commits what it read. Exit 1 if
 * nothing came for a minute.
 */
public final class OldConsume {
    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        for (int i = 3; i < args.length; i++) {
            int eq = args[i].indexOf('=');
            p.put(args[i].substring(0, eq), args[i].substring(eq + 1));
        }
        long left = Long.parseLong(args[2]);
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<byte[], byte[]>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        boolean group = p.containsKey("group.id");
        if (group) {
            consumer.subscribe(Collections.singletonList(args[1]));
        } else {
            List<TopicPartition> partitions = new ArrayList<TopicPartition>();
            for (PartitionInfo i : consumer.partitionsFor(args[1])) {
                partitions.add(new TopicPartition(args[1], i.partition()));
            }
            consumer.assign(partitions);
        }
        long last = System.currentTimeMillis();
        while (left > 0) {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(1000);
            for (ConsumerRecord<byte[], byte[]> r : records) {
                write(out, r.key());
                write(out, r.value());
                left--;
            }
            if (!records.isEmpty()) {
                last = System.currentTimeMillis();
            } else if (System.currentTimeMillis() - last > 60_000) {
                System.err.println("nothing for a minute, " + left + " records are missing");
                System.exit(1);
            }
        }
        if (group) {
            consumer.commitSync();
        }
        consumer.close();
        out.flush();
    }

    private static void write(DataOutputStream out, byte[] b) throws Exception {
        out.writeInt(b == null ? -1 : b.length);
        if (b != null) {
            out.write(b);
        }
    }
}
