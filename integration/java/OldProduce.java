import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Apache's Java producer from 0.8.2 on as a program: OldProduce BOOTSTRAP TOPIC [property=value ...] sends pairs from standard input. A
 * pair is a key and a value, each a 4-byte length and its bytes; length -1 is null. Exit 1 if a send failed.
 */
public final class OldProduce {
    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        for (int i = 2; i < args.length; i++) {
            int eq = args[i].indexOf('=');
            p.put(args[i].substring(0, eq), args[i].substring(eq + 1));
        }
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        final AtomicReference<Exception> failed = new AtomicReference<Exception>();
        Callback callback = new Callback() {
            @Override
            public void onCompletion(RecordMetadata metadata, Exception e) {
                if (e != null) {
                    failed.compareAndSet(null, e);
                }
            }
        };
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<byte[], byte[]>(p, new ByteArraySerializer(), new ByteArraySerializer());
        while (failed.get() == null) {
            byte[] key;
            try {
                key = read(in);
            } catch (EOFException e) {
                break;
            }
            producer.send(new ProducerRecord<byte[], byte[]>(args[1], key, read(in)), callback);
        }
        producer.close();
        if (failed.get() != null) {
            failed.get().printStackTrace();
            System.exit(1);
        }
    }

    private static byte[] read(DataInputStream in) throws Exception {
        int n = in.readInt();
        if (n < 0) {
            return null;
        }
        byte[] b = new byte[n];
        in.readFully(b);
        return b;
    }
}
