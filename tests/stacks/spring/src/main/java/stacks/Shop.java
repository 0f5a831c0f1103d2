// The Spring Boot service of the five. SPDX-License-Identifier: Apache-2.0
package stacks;

import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Shop {
    private static final String RELEASE = System.getenv().getOrDefault("RELEASE", "good");
    private final AtomicLong paid = new AtomicLong();

    public static void main(String[] args) {
        SpringApplication.run(Shop.class, args);
    }

    // Twelve milliseconds of work, and 25 more in a slow release.
    private static void work() throws InterruptedException {
        Thread.sleep(RELEASE.equals("slow") ? 37 : 12);
    }

    @GetMapping("/api/cart/{id}")
    Map<String, String> cart(@PathVariable("id") String id) throws InterruptedException {
        work();
        return Map.of("cart", id);
    }

    @GetMapping("/api/pay/{id}")
    ResponseEntity<Map<String, String>> pay(@PathVariable("id") String id) throws InterruptedException {
        work();
        boolean fails = RELEASE.equals("bad") && paid.incrementAndGet() % 10 == 0;
        return ResponseEntity.status(fails ? 500 : 200).body(Map.of("pay", id));
    }

    @GetMapping("/healthz")
    Map<String, String> healthz() throws InterruptedException {
        work();
        return Map.of();
    }
}
