import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs many of Kafka's command-line classes in one JVM, each with classes of its own (their static state begins anew).
 * The arguments are the jars that hold the commands; everything they need is on the class path.
 *
 * A request is one line: the class, the standard input and the arguments, each in base64, separated by blanks.
 * An answer is one line: the exit code, the standard output and the standard error, the latter two in base64.
 */
public class Commands {
    /** What the running command ends with: thrown by Exit.exit, and no Exception, so that commands do not catch it. */
    static class Ended extends Error {
    }

    /** Standard output or error: goes where the running command's goes. */
    static class Switch extends OutputStream {
        private ByteArrayOutputStream to = new ByteArrayOutputStream();
        private boolean sealed = true;

        @Override
        public synchronized void write(int b) {
            if (!sealed)
                to.write(b);
        }

        @Override
        public synchronized void write(byte[] b, int off, int len) {
            if (!sealed)
                to.write(b, off, len);
        }

        synchronized void open() {
            to = new ByteArrayOutputStream();
            sealed = false;
        }

        synchronized void seal() {
            sealed = true;
        }

        synchronized String text() {
            return Base64.getEncoder().encodeToString(to.toByteArray());
        }
    }

    private static final Switch OUT = new Switch();
    private static final Switch ERR = new Switch();
    private static final List<Runnable> HOOKS = Collections.synchronizedList(new ArrayList<>());
    private static Integer code;

    public static void main(String[] jars) throws Exception {
        PrintStream answers = System.out;
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        System.setOut(new PrintStream(OUT, true, "UTF-8"));
        System.setErr(new PrintStream(ERR, true, "UTF-8"));
        Exit.setExitProcedure((status, message) -> ended(status));
        Exit.setHaltProcedure((status, message) -> ended(status));
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        URL[] urls = new URL[jars.length];
        for (int i = 0; i < jars.length; i++)
            urls[i] = new File(jars[i]).toURI().toURL();
        for (String line; (line = requests.readLine()) != null; ) {
            String[] words = line.split(" ", -1);
            String[] args = new String[words.length - 2];
            for (int i = 0; i < args.length; i++)
                args[i] = new String(Base64.getDecoder().decode(words[i + 2]), "UTF-8");
            int status = run(urls, new String(Base64.getDecoder().decode(words[0]), "UTF-8"), Base64.getDecoder().decode(words[1]), args);
            answers.println(status + " " + OUT.text() + " " + ERR.text());
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static int run(URL[] jars, String name, byte[] stdin, String[] args) throws Exception {
        code = null;
        HOOKS.clear();
        OUT.open();
        ERR.open();
        System.setIn(new ByteArrayInputStream(stdin));
        URLClassLoader loader = new URLClassLoader(jars, Commands.class.getClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        try {
            loader.loadClass(name).getMethod("main", String[].class).invoke(null, (Object) args);
            ended(0);
        } catch (Ended e) {
            // has been noted
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                System.err.print("Exception in thread \"main\" ");
                e.getCause().printStackTrace();
                try {
                    ended(1);
                } catch (Ended again) {
                    // has been noted
                }
            }
        }
        return code;
    }

    /** Notes the first exit code, runs the shutdown hooks, and makes the command end where it is, unheard from now on. */
    private static synchronized void ended(int status) {
        if (code == null) {
            code = status;
            for (Runnable hook : HOOKS) {
                Thread t = new Thread(hook);
                t.setDaemon(true);
                t.start();
                try {
                    t.join(TimeUnit.SECONDS.toMillis(5));
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
            System.out.flush();
            System.err.flush();
            OUT.seal();
            ERR.seal();
        }
        throw new Ended();
    }
}
