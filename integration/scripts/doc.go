// Package scripts compares Gregor's scripts with Apache Kafka 2.7.2's classes: the same commands, in the same order, by Apache's class
// and by Gregor's script, each on an Apache Kafka and on a Gregor of its own. All four have to print the same and exit the same.
//
// Owns: the transcripts in testdata, how they are run and compared. Guarded by: one goroutine runs one of the four. Holds always: a
// transcript leaves its broker as it found it, as far as the next one can see. Imports: the standard library, integration/peer.
//
// # How to add a script
//
// Put testdata/NAME.txt (or, for three brokers, testdata/cluster/NAME.txt) beside the others; if the script is not in the table in classes.go, add its Java class there. Run
//
//	GREGOR_INTEROP=1 go test ./integration/scripts -run 'TestScripts/NAME'             # the lines with $
//	GREGOR_INTEROP=1 FULL=1 RECORD=1 go test ./integration/scripts -run 'TestScripts/NAME'  # all lines; writes testdata/NAME.want
//
// (TestClusterScripts/NAME for three brokers) which needs bin/gregor (make build) and what scripts/dev/interop-setup.sh fetches. NAME.want is what Apache's class answers on
// Apache's broker; `make test`, which has no Java, holds Gregor against it. A line of NAME.txt is one of
//
//	# TEXT               a remark
//	$ SCRIPT ARGS        run it; words may be quoted as in a shell. {b} is the broker, {z} its ZooKeeper, {dead} an address where
//	                     nobody listens, {dir} a directory with the transcript's files
//	! stop N, ! start N  stop or start broker N of the place; files in testdata/cluster are played where each place has brokers 0, 1 and 2,
//	                     {b}, {b1} and {b2}
//	% SCRIPT ARGS        the same, but only with FULL=1; also part of NAME.want
//	%% WHY               the whole file only with FULL=1
//	& SCRIPT ARGS        start it, Apache's class in a JVM of its own, and go on
//	! end                send TERM to what was started last with &; its answer is compared here
//	< TEXT               (after a command) one line of its standard input
//	<" TEXT"             as a Go string: bytes as they are, without a line end
//	= WHAT...            compare only these: exit, stdout, stderr, firstline (of stderr), or nothing; sorted compares lines as a set
//	@ jvm                run Apache's class in a JVM of its own (it uses System.exit or leaves state behind)
//	@ until REGEXP       run it again, up to 20 s, until its standard output matches: for what becomes visible a little later
//	@ broker WHY         compare Gregor's script with Apache's class on the same broker only, because the two brokers differ, and say why
//	@ skip-apache WHY    nothing to compare with: only Gregor's script is run, on both brokers, and both must say the same
//	@ class-on-kafka WHY do not run Apache's class on Gregor, which lacks what the class needs
//	@ slow WHY           with FULL=1 only, and not part of NAME.want: make test is to stay quick
//	~ REGEXP => TEXT     evens out, in all outputs of this file, what has to differ
//	-- FILE --           all that follows is the content of {dir}/FILE, up to the next such line
//
// testdata/3.0 is for the one script whose class 2.7.2 does not have: TestTransactionsCommand plays it at two places, both on Gregor, and
// takes RECORD=1 without FULL=1.
//
// Times in log lines, stack traces, warnings of clients, hints that begin with "gregor: " and the descriptions of options are evened out everywhere, and so are the
// addresses of brokers and ZooKeepers. The brokers are shared by all transcripts: use topics of your own, and remove what others see.
package scripts
