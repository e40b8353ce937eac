// Writes record batches with Apache Kafka's own classes, and reads batches that others wrote. Run by golden.sh.
import java.io.*;
import java.nio.*;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;

public class Golden {
    static final long T = 1600000000000L;

    static byte[] utf8(String s) { return s == null ? null : s.getBytes(java.nio.charset.StandardCharsets.UTF_8); }

    static String repeat(String s, int n) { StringBuilder b = new StringBuilder(); for (int i = 0; i < n; i++) b.append(s).append(i); return b.toString(); }

    static SimpleRecord[] records(byte magic) {
        List<SimpleRecord> l = new ArrayList<>();
        Header[] none = {};
        Header[] two = {new RecordHeader("h1", utf8("v1")), new RecordHeader("h2", (byte[]) null)};
        l.add(new SimpleRecord(T, utf8("key"), utf8("value"), none));
        l.add(new SimpleRecord(T + 5, null, utf8(repeat("some text that compresses well ", 40)), none));
        l.add(new SimpleRecord(T - 7, utf8("tombstone"), null, none));
        l.add(new SimpleRecord(T + 3, utf8(""), utf8(""), magic == 2 ? two : none));
        l.add(new SimpleRecord(T + 100000, utf8("k"), utf8("abcdefgh".repeat(9000)), none));
        return l.toArray(new SimpleRecord[0]);
    }

    static String hex(ByteBuffer b) {
        if (b == null) return "null";
        byte[] a = new byte[b.remaining()];
        b.duplicate().get(a);
        if (a.length > 40) return a.length + ":" + Long.toHexString(crc(a));
        StringBuilder s = new StringBuilder("x");
        for (byte x : a) s.append(String.format("%02x", x));
        return s.toString();
    }

    static long crc(byte[] a) { java.util.zip.CRC32 c = new java.util.zip.CRC32(); c.update(a); return c.getValue(); }

    static void dump(PrintStream out, MemoryRecords records) {
        for (RecordBatch b : records.batches()) {
            b.ensureValid();
            out.printf("batch %d %d %d %s%n", b.baseOffset(), b.lastOffset(), b.maxTimestamp(), b.compressionType().name);
            for (org.apache.kafka.common.record.Record r : b) {
                out.printf("%d %d %d %s %s", r.offset(), r.timestamp(), r.sequence(), hex(r.key()), hex(r.value()));
                for (Header h : r.headers()) out.printf(" %s=%s", h.key(), hex(h.value() == null ? null : ByteBuffer.wrap(h.value())));
                out.println();
            }
        }
    }

    static void save(String name, MemoryRecords r) throws IOException {
        byte[] a = new byte[r.buffer().remaining()];
        r.buffer().duplicate().get(a);
        Files.write(Paths.get(name + ".bin"), a);
        try (PrintStream out = new PrintStream(name + ".txt")) { dump(out, r); }
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0) {
            for (String f : args) {
                System.out.println("file " + Paths.get(f).getFileName());
                dump(System.out, MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(Paths.get(f)))));
            }
            return;
        }
        for (CompressionType c : CompressionType.values()) {
            save("v2-" + c.name, MemoryRecords.withRecords((byte) 2, 0L, c, TimestampType.CREATE_TIME, records((byte) 2)));
            if (c == CompressionType.ZSTD) continue;
            save("v1-" + c.name, MemoryRecords.withRecords((byte) 1, 1000L, c, TimestampType.CREATE_TIME, records((byte) 1)));
            save("v0-" + c.name, MemoryRecords.withRecords((byte) 0, 2000L, c, TimestampType.NO_TIMESTAMP_TYPE, records((byte) 0)));
        }
        save("v2-idempotent", MemoryRecords.withIdempotentRecords((byte) 2, 0L, CompressionType.NONE, 4711L, (short) 3, Integer.MAX_VALUE - 1, 9, records((byte) 2)));
        save("v2-transactional", MemoryRecords.withTransactionalRecords((byte) 2, 50L, CompressionType.LZ4, 4711L, (short) 3, 7, 9, records((byte) 2)));
        save("marker-abort", MemoryRecords.withEndTransactionMarker(77L, T, 5, 4711L, (short) 3, new EndTransactionMarker(ControlRecordType.ABORT, 12)));
        save("marker-commit", MemoryRecords.withEndTransactionMarker(78L, T, 5, 4711L, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 13)));
    }
}
