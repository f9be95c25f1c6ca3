package clients

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gin-lifecycle/lifecycle/internal/redistest"
)

// apacheConfig makes Apache a shared cache in front of an origin, which keeps everything that HTTP
// allows it to keep. The parameters are: directory, port, user, modules, a text by which the test
// recognizes this Apache, and the origin.
const apacheConfig = `ServerRoot "%[1]s"
DefaultRuntimeDir "%[1]s"
PidFile "%[1]s/pid"
ErrorLog "%[1]s/error.log"
ServerName localhost
Listen 127.0.0.1:%[2]d
%[3]s
%[4]s
ErrorDocument 404 "%[5]s"
ProxyPass /.who !
ProxyPass / "%[6]s/"
ProxyPreserveHost On
CacheSocache "shmcb:%[1]s/cache(5000000)"
CacheEnable socache /
CacheHeader on
`

// sharedCache starts an Apache with mod_cache in front of a server, and returns the address of the
// Apache. It ends with the test.
func sharedCache(t testing.TB, origin string) string {
	t.Helper()
	path := needsApache(t)
	modules := loadModules(t)
	dir := t.TempDir()
	who := rand.Text()
	for range 5 { // another process may take the port before Apache does
		port := redistest.FreePort(t)
		config := filepath.Join(dir, "apache.conf")
		text := fmt.Sprintf(apacheConfig, dir, port, apacheUser(t), modules, who, origin)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		address := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if startApache(t, address, who, path, "-X", "-f", config) {
			return address
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
	t.Fatalf("apache2 does not start: %s", log)
	panic("unreachable")
}

// startApache starts the process and waits until it responds. It returns false if the process
// exits.
func startApache(t testing.TB, address, who, path string, args ...string) bool {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	// Apache ends with this process, even if this process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // with -X Apache is one process
		<-done
	})
	c := newClient(t)
	serves := false
	redistest.Eventually(t, "apache2 responds at "+address+", or exits", func() bool {
		resp, err := c.http.Get(address + "/.who")
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			serves = string(body) == who
		}
		select {
		case <-done:
			return true
		default:
			return serves
		}
	})
	return serves
}

// needsApache is needs for Apache, which some distributions install in a directory that is only in
// root's path.
func needsApache(t testing.TB) string {
	t.Helper()
	return needs(t, "apache2", "/usr/sbin/apache2", "httpd", "/usr/sbin/httpd")
}

// apacheUser returns the lines that name the user to which Apache changes if root starts it.
func apacheUser(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("User #%s\nGroup #%s", nobody.Uid, nobody.Gid)
}

// loadModules returns the lines that load the modules that the configuration uses. Modules that
// are built into Apache have no file and need no line.
func loadModules(t testing.TB) string {
	t.Helper()
	dirs := []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/lib/apache2"}
	dir := dirs[max(0, slices.IndexFunc(dirs, func(d string) bool { return exists(filepath.Join(d, "mod_cache.so")) }))]
	var lines strings.Builder
	for _, m := range []string{"mpm_event", "unixd", "authz_core", "proxy", "proxy_http", "socache_shmcb", "cache", "cache_socache"} {
		if file := filepath.Join(dir, "mod_"+m+".so"); exists(file) {
			fmt.Fprintf(&lines, "LoadModule %s_module %q\n", m, file)
		}
	}
	return lines.String()
}

// exists reports whether there is such a file.
func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
