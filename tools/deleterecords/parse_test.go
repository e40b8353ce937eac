package deleterecords

import (
	"errors"
	"testing"

	"gregor/tools/internal/kclient"
)

// What Apache Kafka 2.7.2's class said to these files.
func TestFilesAreRefusedInKafkasWords(t *testing.T) {
	const mapping = "com.fasterxml.jackson.databind.JsonMappingException: "
	for text, want := range map[string]string{
		`{"partitions":[{"topic":"t","partition":0,"offset":1},{"topic":"t","partition":0,"offset":9}]}`: "kafka.common.AdminCommandFailedException: Offset json file contains duplicate topic partitions: t-0",
		`{"version":2}`:     "kafka.admin.AdminOperationException: Not supported version field value 2",
		`{}`:                "kafka.admin.AdminOperationException: Missing partitions field",
		`nonsense`:          "kafka.admin.AdminOperationException: The input string is not a valid JSON",
		`{"partitions":{}}`: mapping + "Expected JSON array, received {}",
		`[]`:                mapping + "Expected JSON object, received []",
		`{"partitions":[{"topic":"t","partition":"x","offset":-1}]}`: mapping + "Expected `Int` value, received \"x\"",
		`{"partitions":[{"topic":"t","offset":-1}]}`:                 mapping + "No such field exists: `partition`",
	} {
		_, err := parse([]byte(text))
		var api *kclient.APIError
		if !errors.As(err, &api) || api.Trace() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestAFileNamesPartitionsAndOffsets(t *testing.T) {
	got, err := parse([]byte(`{"partitions":[{"topic":"t","partition":1,"offset":-1},{"topic":"u","partition":0,"offset":5000000000}],"version":1}`))
	if err != nil || len(got) != 2 || got[0].String() != "t-1" || got[0].offset != -1 || got[1].String() != "u-0" || got[1].offset != 5000000000 {
		t.Errorf("%v %v", got, err)
	}
}
