package wire

// later are request types that came after 2.7 and that a broker serves if its configuration says so: KIP-664, versions as first released.
var later = map[int16]schema{
	61: {name: "DescribeProducers", flexible: 0, fields: []field{
		{name: "Topics", max: 99, nullMin: 1, array: true, kind: kindStruct, fields: []field{
			{name: "Name", max: 99, nullMin: 1, kind: kindString},
			{name: "PartitionIndexes", max: 99, nullMin: 1, array: true, kind: kind4},
		}},
	}},
	65: {name: "DescribeTransactions", flexible: 0, fields: []field{
		{name: "TransactionalIds", max: 99, nullMin: 1, array: true, kind: kindString},
	}},
	66: {name: "ListTransactions", flexible: 0, fields: []field{
		{name: "StateFilters", max: 99, nullMin: 1, array: true, kind: kindString},
		{name: "ProducerIdFilters", max: 99, nullMin: 1, array: true, kind: kind8},
	}},
}

// lookup finds the shape of a request type.
func lookup(key int16) (schema, bool) {
	s, ok := schemas[key]
	if !ok {
		s, ok = later[key]
	}
	return s, ok
}
