package schema

// MergePatch applies a JSON merge patch (RFC 7396) to an entity and returns the
// result in fresh memory. The patch comes from a client and must itself be a
// valid document (see ValidateDocument): at the top level of an entity the RFC
// would let any other value replace it whole. doc is a stored document; empty
// counts as {}. Members that stay keep their order and the text of their
// numbers. The result needs no further validation.
func MergePatch(doc, patch []byte) ([]byte, error) {
	patch, err := ValidateDocument(patch)
	if err != nil {
		return nil, err
	}
	if len(doc) == 0 {
		doc = []byte("{}")
	}
	m := merger{doc: cursor{text: doc}, dst: make([]byte, 0, len(doc)+len(patch))}
	if m.doc.peek() != '{' {
		return nil, corrupt()
	}
	m.object(patch)
	if m.doc.bad {
		return nil, corrupt()
	}
	return m.dst, nil
}

// merger copies a document to dst with a patch applied.
type merger struct {
	doc cursor
	dst []byte
}

type member struct {
	name, value []byte
	used        bool
}

// object copies the object under the cursor, patched.
func (m *merger) object(patch []byte) {
	members, byName := patchMembers(patch)
	start := len(m.dst)
	for name := m.doc.member(true); name != nil; name = m.doc.member(false) {
		plain, _ := unquote(name)
		i, patched := byName[string(plain)]
		if !patched {
			m.add(start, name)
			m.dst = append(m.dst, m.doc.value()...)
			continue
		}
		members[i].used = true
		m.member(start, name, members[i].value)
	}
	for _, p := range members {
		if !p.used && p.value[0] != 'n' {
			m.add(start, p.name)
			m.dst = appendPatch(m.dst, p.value)
		}
	}
	m.close(start)
}

// member copies the member whose value is under the cursor, patched.
func (m *merger) member(start int, name, patch []byte) {
	switch {
	case patch[0] == 'n':
		m.doc.value()
	case patch[0] == '{' && m.doc.peek() == '{':
		m.add(start, name)
		m.object(patch)
	default:
		m.doc.value()
		m.add(start, name)
		m.dst = appendPatch(m.dst, patch)
	}
}

// add begins a member of the object whose text starts at dst[start].
func (m *merger) add(start int, name []byte) {
	if len(m.dst) == start {
		m.dst = append(m.dst, '{')
	} else {
		m.dst = append(m.dst, ',')
	}
	m.dst = append(m.dst, name...)
	m.dst = append(m.dst, ':')
}

func (m *merger) close(start int) {
	if len(m.dst) == start {
		m.dst = append(m.dst, '{')
	}
	m.dst = append(m.dst, '}')
}

// patchMembers lists the members of a validated patch and where each name is.
func patchMembers(patch []byte) ([]member, map[string]int) {
	var members []member
	byName := map[string]int{}
	c := cursor{text: patch}
	for name := c.member(true); name != nil; name = c.member(false) {
		plain, _ := unquote(name)
		byName[string(plain)] = len(members)
		members = append(members, member{name: name, value: c.value()})
	}
	return members, byName
}

// appendPatch appends what a patch makes of nothing: itself without the nulls
// in its objects.
func appendPatch(dst, patch []byte) []byte {
	if patch[0] != '{' {
		return append(dst, patch...)
	}
	m := merger{doc: cursor{text: []byte("{}")}, dst: dst}
	m.object(patch)
	return m.dst
}
