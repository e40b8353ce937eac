// Writes golden.txnindex with Apache Kafka's own class: java -cp 'JARS/*' Golden.java (JARS: those of Kafka 2.7.2)
import java.io.File;
import kafka.log.*;

public class Golden {
    public static void main(String[] args) throws Exception {
        File f = new File("golden.txnindex");
        f.delete();
        TransactionIndex index = new TransactionIndex(10, f);
        index.append(new AbortedTxn(4711L, 10L, 20L, 15L));
        index.append(new AbortedTxn(1L << 40, 15L, 30L, 31L));
        index.append(new AbortedTxn(3L, 1L << 33, (1L << 33) + 5, (1L << 33) + 6));
        index.close();
    }
}
