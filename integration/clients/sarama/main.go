// Command sarama-pairs is the sarama client as a program: sarama-pairs BOOTSTRAP TOPIC writes each record of the topic, from the
// beginning to its present end, to standard output: key and value, each as a 4-byte length and its bytes; length -1 is null. sarama-pairs BOOTSTRAP TOPIC GROUP N prints the
// values of N records as a member of a group; sarama-pairs copy BOOTSTRAP FROM TO GROUP ID TOTAL SIZE ABORT_EVERY copies in transactions; sarama-pairs
// read BOOTSTRAP TOPIC ISOLATION_LEVEL N writes the first N records of partition 0 that the isolation level shows.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	"github.com/IBM/sarama"
)

func main() {
	var err error
	if len(os.Args) == 10 && os.Args[1] == "copy" {
		err = runCopy(os.Args[2:])
	} else if len(os.Args) == 6 && os.Args[1] == "read" {
		n, _ := strconv.Atoi(os.Args[5])
		err = runRead(os.Args[2], os.Args[3], os.Args[4] == "read_committed", n)
	} else if len(os.Args) == 5 {
		n, _ := strconv.ParseInt(os.Args[4], 10, 64)
		err = runMember(os.Args[1], os.Args[2], os.Args[3], n)
	} else {
		err = run(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(bootstrap, topic string) error {
	config := sarama.NewConfig()
	config.Consumer.Return.Errors = true
	client, err := sarama.NewClient([]string{bootstrap}, config)
	if err != nil {
		return err
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	partitions, err := client.Partitions(topic)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	for _, p := range partitions {
		if err := copyPartition(out, client, consumer, topic, p); err != nil {
			return err
		}
	}
	return out.Flush()
}

func runRead(bootstrap, topic string, committed bool, n int) error {
	config := sarama.NewConfig()
	config.Version = sarama.V2_7_0_0
	config.Consumer.Return.Errors = true
	if committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer([]string{bootstrap}, config)
	if err != nil {
		return err
	}
	defer consumer.Close()
	pc, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer pc.Close()
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	for ; n > 0; n-- {
		select {
		case m := <-pc.Messages():
			write(out, m.Key)
			write(out, m.Value)
		case err := <-pc.Errors():
			return err
		}
	}
	return out.Flush()
}

func copyPartition(out *bufio.Writer, client sarama.Client, consumer sarama.Consumer, topic string, partition int32) error {
	end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil || end == 0 {
		return err
	}
	pc, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer pc.Close()
	for {
		select {
		case m := <-pc.Messages():
			write(out, m.Key)
			write(out, m.Value)
			if m.Offset >= end-1 {
				return nil
			}
		case err := <-pc.Errors():
			return err
		}
	}
}

func write(out *bufio.Writer, b []byte) {
	n := int32(len(b))
	if b == nil {
		n = -1
	}
	// A failed write is reported by the final Flush.
	_ = binary.Write(out, binary.BigEndian, n)
	_, _ = out.Write(b)
}
