package tree

import (
	"sort"
	"strings"

	"gregor/zkmeta/jute"
)

// WatcherID names a connection.
type WatcherID uint64

// mode is a set of the ways in which one watcher watches one path.
type mode uint8

const (
	once mode = 1 << iota
	persistent
	recursive
)

type watch struct {
	id   WatcherID
	mode mode
}

// table is the watches on data and existence, or those on children.
type table struct {
	byPath map[string][]watch
}

// Watches is who watches what. They belong to connections: a client registers them anew after a reconnect.
type Watches struct {
	data, child table
	paths       map[WatcherID]map[string]struct{}
	recursive   int // recursive watches, so that without any no parent is looked at
}

// NewWatches makes an empty table.
func NewWatches() *Watches {
	return &Watches{
		data: table{map[string][]watch{}}, child: table{map[string][]watch{}},
		paths: map[WatcherID]map[string]struct{}{},
	}
}

func (w *Watches) add(t *table, path string, id WatcherID, m mode) {
	paths := w.paths[id]
	if paths == nil {
		paths = map[string]struct{}{}
		w.paths[id] = paths
	}
	if _, ok := paths[path]; !ok {
		path = strings.Clone(path)
		paths[path] = struct{}{}
	}
	list, ok := t.byPath[path]
	for i := range list {
		if list[i].id == id {
			if m == recursive && list[i].mode&recursive == 0 {
				w.recursive++
			}
			list[i].mode |= m
			return
		}
	}
	if !ok {
		path = strings.Clone(path)
	}
	t.byPath[path] = append(list, watch{id, m})
	if m == recursive {
		w.recursive++
	}
}

// AddData makes a watcher see the next change of a node or its existence.
func (w *Watches) AddData(path string, id WatcherID) { w.add(&w.data, path, id, once) }

// AddChild makes a watcher see the next change of a node's children.
func (w *Watches) AddChild(path string, id WatcherID) { w.add(&w.child, path, id, once) }

// AddPersistent makes a watcher see every change of a node and its children, or of all that lies below it.
func (w *Watches) AddPersistent(path string, id WatcherID, below bool) {
	if below {
		w.add(&w.data, path, id, recursive)
		w.add(&w.child, path, id, recursive)
		return
	}
	w.add(&w.data, path, id, persistent)
	w.add(&w.child, path, id, persistent)
}

// drop takes mode bits from the watch at list[i] and gives what is left.
func (w *Watches) drop(t *table, path string, list []watch, i int, bits mode) []watch {
	if list[i].mode&bits&recursive != 0 {
		w.recursive--
	}
	if list[i].mode &^= bits; list[i].mode != 0 {
		return list
	}
	id := list[i].id
	list = append(list[:i], list[i+1:]...)
	if len(list) == 0 {
		delete(t.byPath, path)
	} else {
		t.byPath[path] = list
	}
	if !w.data.has(path, id) && !w.child.has(path, id) {
		delete(w.paths[id], path)
		if len(w.paths[id]) == 0 {
			delete(w.paths, id)
		}
	}
	return list
}

func (t *table) has(path string, id WatcherID) bool {
	for _, e := range t.byPath[path] {
		if e.id == id {
			return true
		}
	}
	return false
}

// Has says whether a watcher watches a path in one of the ways that kind (jute.WatchersAny ...) names.
func (w *Watches) Has(path string, id WatcherID, kind int32) bool {
	return kind != jute.WatchersChildren && w.data.has(path, id) || kind != jute.WatchersData && w.child.has(path, id)
}

// Remove takes a watcher's watches off a path and says whether there were any.
func (w *Watches) Remove(path string, id WatcherID, kind int32) bool {
	removed := false
	for _, t := range []*table{&w.data, &w.child} {
		if t == &w.data && kind == jute.WatchersChildren || t == &w.child && kind == jute.WatchersData {
			continue
		}
		list := t.byPath[path]
		for i := range list {
			if list[i].id == id {
				w.drop(t, path, list, i, once|persistent|recursive)
				removed = true
				break
			}
		}
	}
	return removed
}

// RemoveWatcher forgets a connection.
func (w *Watches) RemoveWatcher(id WatcherID) {
	for path := range w.paths[id] {
		w.Remove(path, id, jute.WatchersAny)
	}
}

// Fire gives an event to everybody who watches for it, once each.
func (w *Watches) Fire(e Event, deliver func(WatcherID)) {
	switch e.Type {
	case jute.NodeChildrenChanged:
		w.trigger(&w.child, e.Path, nil, deliver)
	case jute.NodeDeleted:
		var seen []WatcherID
		note := func(id WatcherID) { seen = append(seen, id); deliver(id) }
		w.trigger(&w.data, e.Path, nil, note)
		seen = w.above(e.Path, seen, note)
		w.trigger(&w.child, e.Path, seen, deliver)
	default:
		if w.recursive == 0 {
			w.trigger(&w.data, e.Path, nil, deliver)
			return
		}
		var seen []WatcherID
		note := func(id WatcherID) { seen = append(seen, id); deliver(id) }
		w.trigger(&w.data, e.Path, nil, note)
		w.above(e.Path, seen, note)
	}
}

// trigger fires what is watched at a path itself. A recursive watch sees no change of children, since it sees the children.
func (w *Watches) trigger(t *table, path string, seen []WatcherID, deliver func(WatcherID)) {
	list := t.byPath[path]
	for i := 0; i < len(list); {
		e := list[i]
		if t == &w.child && e.mode == recursive {
			i++
			continue
		}
		n := len(list)
		if e.mode&once != 0 {
			list = w.drop(t, path, list, i, once)
		}
		if len(list) == n {
			i++
		}
		if !contains(seen, e.id) {
			deliver(e.id)
		}
	}
}

// above fires the recursive watches at the parents of a path.
func (w *Watches) above(path string, seen []WatcherID, deliver func(WatcherID)) []WatcherID {
	if w.recursive == 0 {
		return seen
	}
	for path != "/" && path != "" {
		path = parentPath(path)
		for _, e := range w.data.byPath[path] {
			if e.mode&recursive != 0 && !contains(seen, e.id) {
				seen = append(seen, e.id)
				deliver(e.id)
			}
		}
	}
	return seen
}

func contains(list []WatcherID, id WatcherID) bool {
	for _, v := range list {
		if v == id {
			return true
		}
	}
	return false
}

// Counts gives the watching connections, the watched paths and the watches, as the four-letter word wchs shows them.
func (w *Watches) Counts() (watchers, paths, watches int) {
	for _, p := range w.paths {
		watches += len(p)
	}
	seen := len(w.data.byPath)
	for p := range w.child.byPath {
		if _, ok := w.data.byPath[p]; !ok {
			seen++
		}
	}
	return len(w.paths), seen, watches
}

// ByPath calls f with every watched path, sorted, and its watchers.
func (w *Watches) ByPath(f func(path string, ids []WatcherID)) {
	all := map[string][]WatcherID{}
	for id, paths := range w.paths {
		for p := range paths {
			all[p] = append(all[p], id)
		}
	}
	paths := make([]string, 0, len(all))
	for p := range all {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		ids := all[p]
		sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
		f(p, ids)
	}
}

// PathsOf gives what one watcher watches, sorted.
func (w *Watches) PathsOf(id WatcherID) []string {
	out := make([]string, 0, len(w.paths[id]))
	for p := range w.paths[id] {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}
