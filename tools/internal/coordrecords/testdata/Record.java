// Prints what Apache Kafka 2.7.2 makes of the keys and values in keys.tsv; its output is expected.txt:
//   java -cp 'kafka-2.7.2-jars/*' Record.java < keys.tsv > expected.txt
import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.record.*;

public class Record {
    static byte[] bytes(String hex) {
        return hex.equals("null") ? null : HexFormat.of().parseHex(hex);
    }

    interface Call { String of() throws Exception; }

    static String text(Call c) {
        try {
            return c.of();
        } catch (Throwable t) {
            return "! " + t.getClass().getName();
        }
    }

    static String formatted(MessageFormatter f, byte[] k, byte[] v) {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        f.writeTo(new ConsumerRecord<>("t", 0, 0, k, v), new PrintStream(b));
        return b.size() == 0 ? "nothing" : b.toString(StandardCharsets.UTF_8).replace("\n", "");
    }

    static org.apache.kafka.common.record.Record record(byte[] k, byte[] v) {
        MemoryRecords m = MemoryRecords.withRecords(CompressionType.NONE, new SimpleRecord(0, k, v));
        return m.records().iterator().next();
    }

    static String option(scala.Tuple2<scala.Option<String>, scala.Option<String>> t) {
        return t._1.get() + " " + t._2.get();
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] f = line.split("\t", -1);
            byte[] k = bytes(f[1]), v = bytes(f[2]);
            out.println("# " + f[0]);
            if (f[0].startsWith("txn")) {
                out.println(text(() -> option(kafka.coordinator.transaction.TransactionLog.formatRecordKeyAndValue(record(k, v)))));
                out.println(text(() -> formatted(new kafka.coordinator.transaction.TransactionLog.TransactionLogMessageFormatter(), k, v)));
            } else {
                out.println(text(() -> option(kafka.coordinator.group.GroupMetadataManager.formatRecordKeyAndValue(record(k, v)))));
                out.println(text(() -> formatted(new kafka.coordinator.group.GroupMetadataManager.OffsetsMessageFormatter(), k, v)));
                out.println(text(() -> formatted(new kafka.coordinator.group.GroupMetadataManager.GroupMetadataMessageFormatter(), k, v)));
            }
        }
    }
}
