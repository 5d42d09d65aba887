package web

// Icon is the SVG element of an icon, to stand within a page, where it takes the
// colour of the text around it. It is empty if there is no such icon.
func Icon(name string) string {
	svg, err := embedded.ReadFile("icons/" + name + ".svg")
	if err != nil {
		return ""
	}
	return string(svg)
}
