// Runs kafka.tools.DumpLogSegments for each line of standard input (arguments separated by tabs) in the current directory and prints one
// line for each: exit code, standard output and standard error in base64. One JVM for hundreds of calls.
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

public class DumpLog {
    static class Exited extends RuntimeException {
        final int code;
        Exited(int code) { this.code = code; }
    }

    static String base64(ByteArrayOutputStream b) {
        return Base64.getEncoder().encodeToString(b.toByteArray());
    }

    /** The class creates index files that it does not find; the next call has to find what this one found. */
    static Set<File> missingIndexes(String line) {
        Set<File> out = new HashSet<>();
        for (String word : line.split("[\t,]")) {
            for (String suffix : new String[]{".index", ".timeindex"}) {
                File f = new File(word.replaceAll("[.][a-z]*$", suffix));
                if (word.indexOf('/') > 0 && !f.exists()) out.add(f);
            }
        }
        return out;
    }

    public static void main(String[] args) throws Exception {
        Exit.Procedure stop = (code, message) -> { throw new Exited(code); };
        Exit.setExitProcedure(stop);
        Exit.setHaltProcedure(stop);
        PrintStream answers = System.out;
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
            PrintStream o = new PrintStream(out, true, "UTF-8"), e = new PrintStream(err, true, "UTF-8");
            System.setOut(o);
            System.setErr(e);
            int code = 0;
            Set<File> missing = missingIndexes(line);
            try {
                String[] words = line.isEmpty() ? new String[0] : line.split("\t");
                scala.Console.withOut(o, () -> {
                    kafka.tools.DumpLogSegments.main(words);
                    return null;
                });
            } catch (Exited x) {
                code = x.code;
            } catch (Throwable t) {
                code = 1;
                e.print("Exception in thread \"main\" ");
                t.printStackTrace(e);
            }
            missing.forEach(File::delete);
            o.flush();
            e.flush();
            answers.println(code + " " + base64(out) + " " + base64(err));
        }
    }
}
