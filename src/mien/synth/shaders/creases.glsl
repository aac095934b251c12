// Furrows that come with an expression, in the rest coordinates of the face.

uniform vec2 brows_up;   // left, right, 0 to 1 and a little more in deep skin
uniform vec2 squint;     // left, right
uniform float frown;

float furrow(float phase) { return pow(0.5 + 0.5 * cos(phase), 10.0); }

// How deep the skin is furrowed, 0 to 1.
float creases(vec3 p, uint seed) {
    float left = smoothstep(-1.5, 1.5, p.x), side = abs(p.x);
    // Across the forehead, each line wavering and broken in its own way.
    float wave = 0.9 * noise(vec3(p.x * 0.45, p.y * 0.6, 1.0), seed + 31u);
    float broken = 0.25 + 0.95 * smoothstep(0.25, 0.7, noise(vec3(p.x * 0.6, p.y * 1.3, 2.0), seed + 32u));
    float across = furrow((p.y - 0.03 * side * side + wave) * 7.4) * broken
        * smoothstep(6.3, 7.2, p.y) * (1.0 - smoothstep(9.2, 10.4, p.y)) * (1.0 - smoothstep(2.6, 4.6, side));
    // Between the brows.
    float lean = side - 0.62 - 0.1 * (p.y - 5.2) - 0.12 * noise(vec3(p.x * 3.0, p.y * 0.5, 3.0), seed + 33u);
    float between = exp(-lean * lean * 60.0) * smoothstep(4.3, 5.0, p.y) * (1.0 - smoothstep(6.2, 7.0, p.y));
    // From the outer corners of the eyes.
    vec2 from = vec2(side - 4.5, p.y - 3.45);
    float angle = atan(from.y, from.x), far = length(from);
    float fan = furrow((angle + 0.25 * noise(p * 0.9, seed + 34u)) * 9.5) * (1.0 - smoothstep(0.7, 1.1, abs(angle)))
        * smoothstep(0.35, 0.8, far) * (1.0 - smoothstep(1.3, 2.4, far));
    return (across * mix(brows_up.y, brows_up.x, left) + between * frown + fan * mix(squint.y, squint.x, left))
        * step(5.0, p.z + 3.0 * step(3.0, side));
}
