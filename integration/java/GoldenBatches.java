import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.TimestampType;

/**
 * Encodes record batches as Apache Kafka's producer does. Standard input: a JSON array of batches; standard output: one batch in
 * base64 per line.
 */
public final class GoldenBatches {
    public static void main(String[] args) throws Exception {
        JsonNode batches = new ObjectMapper().readTree(System.in);
        StringBuilder out = new StringBuilder();
        for (JsonNode batch : batches) {
            ByteBuffer encoded = encode(batch);
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            out.append(Base64.getEncoder().encodeToString(bytes)).append('\n');
        }
        System.out.print(out);
    }

    private static ByteBuffer encode(JsonNode batch) throws Exception {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), (byte) batch.get("magic").asInt(),
            CompressionType.forName(batch.get("codec").asText()), TimestampType.CREATE_TIME, 0L, -1L,
            batch.get("producerId").asLong(), (short) batch.get("producerEpoch").asInt(), batch.get("baseSequence").asInt(),
            batch.get("transactional").asBoolean(), -1);
        for (JsonNode r : batch.get("records")) {
            List<Header> headers = new ArrayList<>();
            if (r.hasNonNull("headers")) {
                for (JsonNode h : r.get("headers")) {
                    headers.add(new RecordHeader(h.get("key").asText(), bytes(h, "value")));
                }
            }
            builder.append(r.get("timestamp").asLong(), bytes(r, "key"), bytes(r, "value"), headers.toArray(new Header[0]));
        }
        return builder.build().buffer();
    }

    private static byte[] bytes(JsonNode node, String field) throws Exception {
        return node.hasNonNull(field) ? node.get(field).binaryValue() : null;
    }
}
