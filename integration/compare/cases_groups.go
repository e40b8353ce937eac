package compare

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// members mask what is random in answers about groups.
var members = []string{"MemberID", "LeaderID", "Generation", "ClientHost"}

// dialogue asks one thing after the other, each in the version of the case as far as there is one, and keeps the answers.
type dialogue struct {
	b   *Broker
	v   int16
	out []any
}

func (d *dialogue) ask(req kmsg.Request) kmsg.Response {
	req.SetVersion(max(min(d.v, newest[kmsg.Key(req.Key())]), oldest[kmsg.Key(req.Key())]))
	resp, err := d.b.Ask(req)
	mask := map[string]bool{}
	for _, m := range members {
		mask[m] = m != "Generation"
	}
	d.out = append(d.out, answer(resp, err, mask))
	return resp
}

// oldest is 1 where version 0 means ZooKeeper, which has cases of its own.
var oldest = map[kmsg.Key]int16{kmsg.OffsetCommit: 1, kmsg.OffsetFetch: 1}

// ready asks for the coordinator until there is one and it has loaded what it keeps.
func (d *dialogue) ready(group string) {
	for range 200 {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey = group
		resp, err := d.b.Ask(find)
		if f, ok := resp.(*kmsg.FindCoordinatorResponse); err == nil && ok && f.ErrorCode == 0 {
			beat := kmsg.NewPtrDescribeGroupsRequest()
			beat.Groups = []string{group}
			if r, err := d.b.Ask(beat); err == nil && r.(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode == 0 {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.out = append(d.out, "no coordinator")
}

func (d *dialogue) join(group, member string, instance *string, edit func(*kmsg.JoinGroupRequest)) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = group, member, 6000, 6000, "consumer"
	if d.v >= 5 {
		r.InstanceID = instance
	}
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{"t"}
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}, {Name: "roundrobin", Metadata: meta.AppendTo(nil)}}
	if edit != nil {
		edit(r)
	}
	resp, _ := d.ask(r).(*kmsg.JoinGroupResponse)
	if resp == nil {
		resp = kmsg.NewPtrJoinGroupResponse()
	}
	return resp
}

// enter joins as a member that begins, and returns its id and generation.
func (d *dialogue) enter(group string, instance *string) (string, int32) {
	resp := d.join(group, "", instance, nil)
	if resp.ErrorCode == 79 {
		resp = d.join(group, resp.MemberID, instance, nil)
	}
	return resp.MemberID, resp.Generation
}

func (d *dialogue) sync(group, member string, generation int32, assign ...string) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation, r.ProtocolType, r.Protocol = group, member, generation, ptr("consumer"), ptr("range")
	for _, a := range assign {
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: a, MemberAssignment: []byte("mine")})
	}
	d.ask(r)
}

func (d *dialogue) beat(group, member string, generation int32, instance *string) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation, r.InstanceID = group, member, generation, instance
	d.ask(r)
}

func (d *dialogue) leave(group string, members ...kmsg.LeaveGroupRequestMember) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group, r.Members = group, members
	if len(members) > 0 {
		r.MemberID = members[0].MemberID
	}
	d.ask(r)
}

func (d *dialogue) commit(group, member string, generation int32, topic string, partition int32, offset int64, metadata *string) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation, r.RetentionTimeMillis = group, member, generation, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata, p.LeaderEpoch, p.Timestamp = partition, offset, metadata, 0, -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	d.ask(r)
}

func (d *dialogue) fetch(group string, stable bool, topics ...kmsg.OffsetFetchRequestTopic) {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group, r.Topics, r.RequireStable = group, topics, stable
	d.ask(r)
}

func (d *dialogue) describe(groups ...string) {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups, r.IncludeAuthorizedOperations = groups, true
	d.ask(r)
}

func (d *dialogue) deleteOffsets(group, topic string, partitions ...int32) {
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = group
	t := kmsg.NewOffsetDeleteRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
	}
	r.Topics = []kmsg.OffsetDeleteRequestTopic{t}
	d.ask(r)
}

func (d *dialogue) deleteGroups(groups ...string) {
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Groups = groups
	d.ask(r)
}

func groupCases() []Case {
	talk := func(key kmsg.Key, name string, f func(d *dialogue, group, topic string)) Case {
		return Case{Key: key, Name: name, Min: oldest[key], Do: func(b *Broker, v int16) any {
			d := &dialogue{b: b, v: v}
			group := b.topic("g-"+strings.ReplaceAll(name, " ", "-")+"-"+key.Name(), v)
			d.ready(group)
			f(d, group, b.topic("t", 0))
			return d.out
		}}
	}
	return append([]Case{made("prepared for groups", "t")}, append(append(membershipCases(talk), offsetStoreCases(talk)...), zooKeeperOffsetCases()...)...)
}

type talker = func(key kmsg.Key, name string, f func(d *dialogue, group, topic string)) Case

func membershipCases(talk talker) []Case {
	one, other := ptr("one"), ptr("other")
	return []Case{
		talk(kmsg.FindCoordinator, "kinds", func(d *dialogue, group, _ string) {
			for _, kind := range []int8{0, 1} {
				r := kmsg.NewPtrFindCoordinatorRequest()
				r.CoordinatorKey, r.CoordinatorType = group, kind
				if kind == 0 || d.v > 3 {
					d.ask(r)
				}
			}
		}),
		talk(kmsg.JoinGroup, "life", func(d *dialogue, g, _ string) {
			id, gen := d.enter(g, nil)
			d.beat(g, id, gen, nil)
			d.describe(g)
			d.sync(g, id, gen, id)
			d.describe(g)
			d.beat(g, id, gen, nil)
			d.sync(g, id, gen)
			d.join(g, id, nil, nil)
			d.sync(g, id, gen+1, id)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
			d.describe(g)
		}),
		talk(kmsg.JoinGroup, "refused", func(d *dialogue, g, _ string) {
			d.join("", "", nil, nil)
			d.join(g, "stranger", nil, nil)
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 })
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 })
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
			id, gen := d.enter(g, nil)
			d.join(g, "stranger", nil, nil)
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
			d.join(g, "", nil, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name, r.Protocols[1].Name = "a", "b" })
			d.sync(g, id, gen, id)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
		}),
		talk(kmsg.SyncGroup, "refused", func(d *dialogue, g, _ string) {
			d.sync("", "m", 1)
			d.sync(g, "m", 1)
			id, gen := d.enter(g, nil)
			d.sync(g, "m", gen)
			d.sync(g, id, gen+1)
			d.sync(g, id, -1)
			r := kmsg.NewPtrSyncGroupRequest()
			r.Group, r.MemberID, r.Generation, r.ProtocolType, r.Protocol = g, id, gen, ptr("connect"), ptr("range")
			if d.v >= 5 {
				d.ask(r)
				r.ProtocolType, r.Protocol = ptr("consumer"), ptr("roundrobin")
				d.ask(r)
				r.ProtocolType = nil
				d.ask(r)
			}
			d.sync(g, id, gen, "strangers only")
			d.describe(g)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
			d.sync(g, id, gen)
		}),
		talk(kmsg.Heartbeat, "refused", func(d *dialogue, g, _ string) {
			d.beat("", "m", 1, nil)
			d.beat(g, "m", 1, nil)
			id, gen := d.enter(g, nil)
			d.beat(g, "m", gen, nil)
			d.beat(g, id, gen-1, nil)
			d.beat(g, id, gen+1, nil)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
			d.beat(g, id, gen, nil)
		}),
		talk(kmsg.LeaveGroup, "refused", func(d *dialogue, g, _ string) {
			d.leave("", kmsg.LeaveGroupRequestMember{MemberID: "m"})
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: "m"})
			id, _ := d.enter(g, nil)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: "m"})
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id}, kmsg.LeaveGroupRequestMember{MemberID: id}, kmsg.LeaveGroupRequestMember{MemberID: "", InstanceID: one})
			d.leave(g)
		}),
		talk(kmsg.JoinGroup, "static members", func(d *dialogue, g, _ string) {
			if d.v < 5 {
				return
			}
			id, gen := d.enter(g, one)
			d.sync(g, id, gen, id)
			again := d.join(g, "", one, nil)
			d.beat(g, id, gen, one)
			d.beat(g, again.MemberID, again.Generation, one)
			d.beat(g, again.MemberID, again.Generation, other)
			d.join(g, id, one, nil)
			d.join(g, again.MemberID, other, nil)
			d.sync(g, again.MemberID, again.Generation)
			d.describe(g)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id, InstanceID: one})
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: "", InstanceID: other})
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: "", InstanceID: one})
			d.describe(g)
		}),
		talk(kmsg.DescribeGroups, "of all kinds", func(d *dialogue, g, _ string) {
			d.describe(g, "", "never there")
			d.describe()
		}),
		talk(kmsg.ListGroups, "by state", func(d *dialogue, g, _ string) {
			r := kmsg.NewPtrListGroupsRequest()
			r.StatesFilter = []string{"Stable"}
			if d.v >= 4 {
				d.ask(r)
				r.StatesFilter = []string{"none such"}
				d.ask(r)
			}
		}),
	}
}

func offsetStoreCases(talk talker) []Case {
	part := func(topic string, ps ...int32) kmsg.OffsetFetchRequestTopic {
		return kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: ps}
	}
	return []Case{
		talk(kmsg.OffsetCommit, "without members", func(d *dialogue, g, t string) {
			d.commit(g, "", -1, t, 0, 7, ptr("said"))
			d.fetch(g, false, part(t, 0, 1), part("never-there", 0))
			d.commit(g, "", -1, t, 0, 5, nil)
			d.commit(g, "m", -1, t, 0, 6, ptr(""))
			d.commit(g, "m", 3, t, 0, 6, nil)
			d.commit(g, "", -1, t, 5, 6, nil)
			d.commit(g, "", -1, "never-there", 0, 6, nil)
			d.commit(g, "", -1, t, 0, -1, nil)
			d.commit(g, "", -1, t, 0, 8, ptr(strings.Repeat("x", 4096)))
			d.commit(g, "", -1, t, 0, 9, ptr(strings.Repeat("x", 4097)))
			d.fetch(g, true, part(t, 0))
			if d.v >= 2 {
				d.fetch(g, false)
			}
			d.commit("", "", -1, t, 0, 9, nil)
			d.fetch("", false, part(t, 0))
			d.describe(g)
			d.deleteGroups(g)
			d.fetch(g, false, part(t, 0))
			d.deleteGroups(g, g, "never there", "")
		}),
		talk(kmsg.OffsetCommit, "with members", func(d *dialogue, g, t string) {
			d.commit(g, "m", 1, t, 0, 7, nil)
			id, gen := d.enter(g, nil)
			d.commit(g, id, gen, t, 0, 7, nil)
			d.sync(g, id, gen, id)
			d.commit(g, id, gen, t, 0, 7, nil)
			d.commit(g, id, gen+1, t, 0, 8, nil)
			d.commit(g, "m", gen, t, 0, 8, nil)
			d.commit(g, "", -1, t, 0, 8, nil)
			d.fetch(g, true, part(t, 0))
			d.deleteGroups(g)
			d.deleteOffsets(g, t, 0, 9)
			d.deleteOffsets(g, "never-there", 0)
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
			d.commit(g, "", -1, t, 0, 9, nil)
			d.deleteOffsets(g, t, 0)
			d.fetch(g, false, part(t, 0))
			d.describe(g)
		}),
		talk(kmsg.OffsetCommit, "named twice", func(d *dialogue, g, t string) {
			r := kmsg.NewPtrOffsetCommitRequest()
			r.Group, r.Generation, r.RetentionTimeMillis = g, -1, -1
			for i, ps := range [][]int32{{0, 0}, {}, {0, 9, 9}} {
				rt := kmsg.OffsetCommitRequestTopic{Topic: t}
				for j, n := range ps {
					p := kmsg.NewOffsetCommitRequestTopicPartition()
					p.Partition, p.Offset, p.Metadata, p.Timestamp = n, int64(10*i+j), ptr(""), -1
					rt.Partitions = append(rt.Partitions, p)
				}
				r.Topics = append(r.Topics, rt)
			}
			r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: "of nothing"})
			d.ask(r)
			d.fetch(g, false, part(t, 0, 0), part("of nothing"), part(t, 0))
			d.deleteOffsets(g, t, 0, 0, 9, 9)
			d.fetch(g, false, part(t, 0))
		}),
		talk(kmsg.OffsetDelete, "refused", func(d *dialogue, g, t string) {
			d.deleteOffsets("", t, 0)
			d.deleteOffsets(g, t, 0)
			d.commit(g, "", -1, t, 0, 9, nil)
			d.deleteOffsets(g, t, 0, 7)
			d.deleteOffsets(g, t, 0)
		}),
		talk(kmsg.DeleteGroups, "refused", func(d *dialogue, g, _ string) {
			id, _ := d.enter(g, nil)
			d.deleteGroups(g, "never there", "")
			d.leave(g, kmsg.LeaveGroupRequestMember{MemberID: id})
			d.deleteGroups(g, g)
			d.deleteGroups(g)
			d.deleteGroups()
		}),
	}
}
