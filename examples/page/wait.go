// wait [FOLDER [SECONDS]]: waits for a gate that is open on a proof.
// CGO_CFLAGS=-I$PWD/crates/clockgate-page/include go build wait.go
package main

// #include "clockgate-page.h"
import "C"

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	folder, seconds := C.CLOCKGATE_DIRECTORY, 60.0
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if len(os.Args) > 2 {
		seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	deadline := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var page C.struct_clockgate_page
	var view C.struct_clockgate_view
	if failure := C.clockgate_open(&page, C.CString(folder)); failure != C.CLOCKGATE_OK {
		fmt.Fprintln(os.Stderr, C.GoString(C.clockgate_error_text(failure)))
		os.Exit(69)
	}
	defer C.clockgate_close(&page)
	C.clockgate_read(&page, &view)
	for view.gate != C.CLOCKGATE_PROVEN && time.Until(deadline) > 0 {
		seen := view
		C.clockgate_wait_for_change(&page, &seen, C.uint64_t(time.Until(deadline)), &view)
	}
	if view.gate != C.CLOCKGATE_PROVEN {
		fmt.Fprintf(os.Stderr, "still shut: %s\n", C.GoString(&view.why[0]))
		os.Exit(75)
	}
	fmt.Printf("wrong by at most %.3f ms\n", float64(view.bound_now)/1e6)
}
